// Every key of the page, in one table: it is what is shown, and what is done.

import { byId, make } from "./elements.js";

/** What keys are about: a shown name, what they do, and the action. */
const keyTable = (act) => [
  {
    shown: ["↑", "↓"],
    keys: ["ArrowUp", "ArrowDown"],
    what: "previous, next sound",
    run: (key) => act.step(key === "ArrowUp" ? -1 : 1),
  },
  {
    shown: ["PgUp", "PgDn"],
    keys: ["PageUp", "PageDown"],
    what: "a page",
    run: (key) => act.page(key === "PageUp" ? -1 : 1),
  },
  {
    shown: ["Home", "End"],
    keys: ["Home", "End"],
    what: "first, last loaded",
    run: (key) => act.end(key === "Home" ? -1 : 1),
  },
  { shown: ["Space"], keys: [" "], what: "play, stop", run: act.play },
  {
    shown: ["←", "→"],
    keys: ["ArrowLeft", "ArrowRight"],
    what: "move the playhead",
    run: (key) => act.nudge(key === "ArrowLeft" ? -1 : 1),
  },
  { shown: ["L"], keys: ["l"], what: "loop", run: act.loop },
  { shown: ["["], keys: ["["], what: "selection begins here", run: () => act.mark("from") },
  { shown: ["]"], keys: ["]"], what: "selection ends here", run: () => act.mark("to") },
  {
    shown: ["+", "−", "0"],
    keys: ["+", "=", "-", "0"],
    what: "zoom in, out, all (or wheel)",
    run: (key) => act.zoom(key),
  },
  { shown: ["A"], keys: ["a"], what: "A/B: re-synthesis, original", run: act.turn },
  {
    shown: ["1", "9"],
    keys: [..."123456789"],
    what: "play a variation",
    between: "–",
    run: (key) => act.variation(Number(key) - 1),
  },
  {
    shown: ["V"],
    keys: ["v", "V"],
    what: "next variation (Shift: previous)",
    run: (key) => act.another(key === "V" ? -1 : 1),
  },
  { shown: ["R"], keys: ["r"], what: "re-roll what is not kept", run: act.reroll },
  { shown: ["K"], keys: ["k"], what: "keep this take", run: act.keep },
  { shown: ["Enter"], keys: ["Enter"], what: "place (Shift: all kept)", run: (_, event) => act.place(event.shiftKey) },
  { shown: ["S"], keys: ["s"], what: "send to Audacity", run: act.send },
  { shown: ["C"], keys: ["c", "C"], what: "copy path (Shift: id)", run: (key) => act.copy(key === "C") },
  { shown: ["/"], keys: ["/"], what: "search", run: act.search },
  { shown: ["Esc"], keys: ["Escape"], what: "clear, close", run: act.escape },
  { shown: ["?"], keys: ["?"], what: "these keys", run: act.help },
];

/** Write the table into the dialog, and obey it wherever no control needs the key itself. */
export function listen(act) {
  const table = keyTable(act);
  byId("keys")
    .querySelector("dl")
    .replaceChildren(
      ...table.flatMap(({ shown, what, between = " " }) => [
        make(
          "dt",
          {},
          ...shown.flatMap((key, index) => (index ? [between, make("kbd", {}, key)] : [make("kbd", {}, key)])),
        ),
        make("dd", {}, what),
      ]),
    );
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    const { target, key } = event;
    if (target.id === "query") {
      if (!["ArrowDown", "Enter", "Escape"].includes(key)) return;
      event.preventDefault();
      act.leaveSearch(key);
      return;
    }
    const slides = target.type === "range" && !/^(Arrow|Page|Home|End)/.test(key);
    if (target.matches("input, select, textarea") && !slides) {
      if (key === "Escape") act.toList();
      return;
    }
    const onControl = target.matches("button, [role=tab]") && target !== document.body;
    if (onControl && (key === "Enter" || key === " ")) return;
    if (target.matches("[role=tab]") && ["ArrowLeft", "ArrowRight", "Home", "End"].includes(key)) return;
    const found = table.find(({ keys }) => keys.includes(key));
    if (!found) return;
    event.preventDefault();
    found.run(key, event);
  });
}
