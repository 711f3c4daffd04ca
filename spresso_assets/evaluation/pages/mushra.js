"use strict";
(() => {
  const test = JSON.parse(document.getElementById("data").textContent);
  const stage = document.getElementById("stage");
  const answers = [];
  let listener = "";
  let deck = null;
  let keys = () => {};

  const make = (tag, text = "", attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  // Fisher and Yates, on the random numbers that the system gives.
  const shuffled = (list) => {
    const found = [...list];
    for (let n = found.length - 1; n > 0; n--) {
      const k = Math.floor(crypto.getRandomValues(new Uint32Array(1))[0] / 2 ** 32 * (n + 1));
      [found[n], found[k]] = [found[k], found[n]];
    }
    return found;
  };
  const letter = (n) => String.fromCharCode(65 + n);
  const show = (...elements) => {
    if (deck) deck.stop();
    deck = null;
    keys = () => {};
    stage.replaceChildren(...elements);
    scrollTo(0, 0);
  };
  const act = (text, does) => {
    const button = make("button", text, { class: "act", type: "button" });
    button.addEventListener("click", does);
    return button;
  };

  function welcome() {
    const form = make("form", "", { class: "top" });
    const name = make("input", "", { type: "text", id: "listener", required: "", maxlength: "60", autocomplete: "off" });
    form.append(make("label", "Your name or number", { for: "listener" }), name,
      make("button", "Begin", { class: "act", type: "submit" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (!name.value.trim()) return;
      listener = name.value.trim();
      training();
    });
    show(
      make("p", `You will hear ${test.trials.length} sounds, each in several versions. Say how close each version ` +
        "comes to the original, from 0 (bad) to 100 (no difference)."),
      make("p", "Among the versions hides the original itself, so at least one of them deserves 100. There is also one " +
        "that is known to be poor. Which is which changes with every sound."),
      make("p", "Use headphones in a quiet place, and set the volume during the training; leave it there afterwards. " +
        "Nothing is sent anywhere: at the end you save a file."),
      form);
    name.focus();
  }

  // A page of versions; with `rated`, each has a slider.
  function versions(conditions, reference, rated, changed) {
    deck = new Deck([reference, ...conditions.map((c) => c.url)], (heard) => {
      boxes.forEach((box, n) => box.classList.toggle("heard", n === heard));
      if (heard > 0) plays[heard - 1] += 1;
      changed();
    });
    const plays = conditions.map(() => 0);
    const scores = conditions.map(() => null);
    const original = act("Original (0)", () => deck.play(0));
    const boxes = [original];
    const slots = make("div", "", { class: "slots" });
    conditions.forEach((_, n) => {
      const box = make("div", "", { class: rated ? "slot untouched" : "slot" });
      const play = make("button", letter(n), { type: "button", "aria-label": `Play ${letter(n)}` });
      play.addEventListener("click", () => deck.play(n + 1));
      box.append(play);
      if (rated) {
        const slider = make("input", "", { type: "range", min: "0", max: "100", step: "1", value: "50",
          "aria-label": `Rating of ${letter(n)}` });
        const output = make("output", "–");
        const rate = () => {
          scores[n] = Number(slider.value);
          output.textContent = slider.value;
          box.classList.remove("untouched");
          changed();
        };
        slider.addEventListener("input", rate);
        slider.addEventListener("pointerup", rate); // also one that is left at 50
        slider.addEventListener("focus", () => { if (deck && deck.heard !== n + 1) deck.play(n + 1); });
        box.append(slider, output);
      }
      boxes.push(box);
      slots.append(box);
    });
    keys = (event) => {
      const key = event.key.toLowerCase();
      const which = key === "0" ? -1 : key.length === 1 ? key.charCodeAt(0) - 97 : NaN;
      if (which >= -1 && which < conditions.length) {
        const slider = rated && which >= 0 && boxes[which + 1].querySelector("input");
        if (slider) slider.focus();
        deck.play(which + 1);
      } else if (key === " ") {
        deck.stop();
      } else {
        return;
      }
      event.preventDefault();
    };
    return { original, slots, plays, scores };
  }

  function training() {
    const trial = test.trials[0];
    const next = act("Start the test", () => rate(shuffled(test.trials), 0));
    next.disabled = true;
    const made = {};
    show(make("h2", "Training"));
    Object.assign(made, versions(shuffled(trial.conditions), trial.conditions[0].url, false, () => {
      next.disabled = !made.plays || made.plays.some((count) => !count);
    }));
    stage.append(
      make("p", "Listen to every version of this sound once, and set the volume. Nothing is rated yet. While a sound " +
        "runs you change between versions without a gap. Keys: 0 plays the original, A, B, C … a version, Space stops."),
      made.original, made.slots, next);
  }

  function rate(trials, number) {
    const trial = trials[number];
    const conditions = shuffled(trial.conditions);
    const since = performance.now();
    const made = {};
    const hint = make("p", "", { class: "quiet", role: "status" });
    const next = act(number + 1 < trials.length ? "Next sound" : "Finish", () => {
      conditions.forEach((condition, n) => answers.push({
        listener, trial: number + 1, sound: trial.sound, system: condition.system, point: condition.point,
        score: made.scores[n], slot: letter(n), plays: made.plays[n],
        seconds: ((performance.now() - since) / 1000).toFixed(1),
      }));
      if (number + 1 < trials.length) rate(trials, number + 1); else finish();
    });
    const check = () => {
      if (!made.scores) return;
      const unheard = made.plays.flatMap((count, n) => count ? [] : [letter(n)]);
      const unrated = made.scores.flatMap((score, n) => score === null ? [letter(n)] : []);
      next.disabled = unheard.length + unrated.length > 0;
      hint.textContent = unheard.length ? `Not heard yet: ${unheard.join(", ")}` :
        unrated.length ? `Not rated yet: ${unrated.join(", ")}` :
        Math.max(...made.scores) < 100 ? "None stands at 100, though the original is among them." : "";
    };
    show(make("h2", `Sound ${number + 1} of ${trials.length}`),
      make("progress", "", { max: String(trials.length), value: String(number) }));
    Object.assign(made, versions(conditions, trial.conditions[0].url, true, check));
    const scale = make("div", "", { class: "scale" });
    scale.append(...["excellent", "good", "fair", "poor", "bad"].map((word) => make("span", word)));
    made.slots.prepend(scale);
    stage.append(made.original, made.slots, hint, next);
    check();
  }

  function finish() {
    // Quoted throughout, quotes doubled (RFC 4180). What a table program would take for a formula becomes text.
    const quoted = (value) => {
      const text = String(value);
      return `"${(/^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text).replaceAll('"', '""')}"`;
    };
    const lines = [test.columns, ...answers.map((answer) => test.columns.map((column) => answer[column]))];
    const text = lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
    const link = make("a", "Save the answers (CSV)", { class: "act",
      download: `ratings-${listener.replace(/[^\p{L}\p{N}]+/gu, "-")}.csv`,
      href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    show(make("h2", "Thank you"), make("p", "Save the file and give it to whoever runs the test."), link);
    link.addEventListener("click", () => { saved = true; });
  }

  let saved = false;
  addEventListener("beforeunload", (event) => {
    if (answers.length && !saved) event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.type === "text") return;
    keys(event);
  });
  if (test.trials.length) welcome(); else show(make("p", "There are no sounds to rate."));
})();
