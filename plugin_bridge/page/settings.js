// What a person set, kept in this browser for this address.

const KEY = "spresso.settings";

const DEFAULTS = {
  autoPlay: true,
  previewFirst: true,
  matchLoudness: true,
  ahead: true,
  loop: false,
  quality: "default",
  volume: 0.8,
  dir: "",
  sub: "",
  format: "wav",
  bits: "24",
  rate: "",
  nameStyle: "ucs",
};

function stored() {
  try {
    return JSON.parse(localStorage.getItem(KEY)) ?? {};
  } catch {
    return {};
  }
}

/** Read like an object; every assignment is kept. */
export const settings = new Proxy(
  { ...DEFAULTS, ...stored() },
  {
    set(target, name, value) {
      target[name] = value;
      try {
        localStorage.setItem(KEY, JSON.stringify(target));
      } catch {
        // A full or forbidden store costs the memory of a setting, nothing else.
      }
      return true;
    },
  },
);

/** Let a control show a setting and change it. */
export function bind(control, name, changed = () => {}) {
  const property = control.type === "checkbox" ? "checked" : "value";
  control[property] = settings[name];
  control.addEventListener("change", () => {
    settings[name] = control.type === "range" ? Number(control.value) : control[property];
    changed(settings[name]);
  });
}
