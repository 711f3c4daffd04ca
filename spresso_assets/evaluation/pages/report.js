"use strict";
(() => {
  const table = document.getElementById("figures");
  table.querySelectorAll("thead th").forEach((head, column) => {
    head.firstChild.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => column ? row.cells[column].dataset.v : row.cells[0].textContent;
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (column && (x === "" || y === "")) return (x === "") - (y === "");
        return (down ? -1 : 1) * (column ? x - y : x.localeCompare(y));
      });
      table.tBodies[0].append(...rows);
    });
  });

  const told = JSON.parse(document.getElementById("data").textContent);
  const boxes = [...document.querySelectorAll(".sound")];
  document.getElementById("worst").addEventListener("change", (event) => {
    const row = event.target.value === "" ? null : told.rows[Number(event.target.value)];
    const distance = (n) => told.distances[n][`${row.system}\0${row.point}`] ?? -1;
    const order = boxes.map((_, n) => n);
    if (row) order.sort((a, b) => distance(b) - distance(a));
    boxes[0].parentNode.append(...order.map((n) => boxes[n]));
  });

  let open = null; // the player that keys go to

  class Player {
    constructor(box) {
      this.cards = [...box.querySelectorAll("[data-sound]")];
      this.deck = new Deck(this.cards.map((card) => card.dataset.sound), (n) => this.show(n));
      this.chosen = 1;
      this.secret = 0;
      this.right = this.tried = 0;
      this.bar = box.querySelector(".bar");
      this.buttons = {};
      const acts = { A: () => this.a(), B: () => this.b(), X: () => this.x(), Stop: () => this.stop(),
        "X is A": () => this.guess(0), "X is B": () => this.guess(1) };
      for (const [name, act] of Object.entries(acts)) {
        const button = document.createElement("button");
        button.textContent = name;
        button.setAttribute("aria-pressed", "false");
        button.addEventListener("click", act);
        this.buttons[name] = button;
        this.bar.append(button);
      }
      this.score = document.createElement("span");
      this.score.className = "quiet";
      this.score.setAttribute("role", "status");
      this.bar.append(this.score);
      this.cards.forEach((card, n) => card.addEventListener("click", () => {
        if (n) this.choose(n);
        this.mode = n ? "B" : "A";
        this.deck.play(n);
      }));
      this.choose(1);
    }
    choose(n) {
      if (n !== this.chosen) { this.right = this.tried = 0; this.score.textContent = ""; }
      this.chosen = n;
      this.secret = Math.random() < 0.5 ? 0 : 1;
      this.cards.forEach((card, k) => card.classList.toggle("chosen", k === n));
    }
    move(by) {
      const count = this.cards.length - 1;
      this.choose(1 + (this.chosen - 1 + by + count) % count);
      if (this.mode === "B" && this.deck.heard >= 0) this.deck.play(this.chosen);
      if (this.mode === "X") this.stop();
    }
    a() { this.mode = "A"; this.deck.play(0); }
    b() { this.mode = "B"; this.deck.play(this.chosen); }
    x() { this.mode = "X"; this.deck.play(this.secret ? this.chosen : 0); }
    stop() { this.mode = ""; this.deck.stop(); }
    guess(which) {
      this.tried += 1;
      this.right += which === this.secret;
      const was = this.secret ? "B" : "A";
      this.secret = Math.random() < 0.5 ? 0 : 1;
      if (this.mode === "X") this.stop();
      // Chance to be right so often by guessing: the upper tail of the binomial distribution.
      let chance = 0;
      for (let k = this.right, c; k <= this.tried; k++) {
        c = 1;
        for (let j = 0; j < k; j++) c = c * (this.tried - j) / (j + 1);
        chance += c / 2 ** this.tried;
      }
      this.score.textContent = `It was ${was}. ${this.right} of ${this.tried} right; by guessing: ` +
        `${(100 * chance).toFixed(chance < 0.1 ? 1 : 0)} %`;
    }
    show(n) {
      // What X is must not be seen.
      this.cards.forEach((card, k) => card.classList.toggle("heard", this.mode !== "X" && k === n));
      for (const name of "ABX") this.buttons[name].setAttribute("aria-pressed", String(n >= 0 && this.mode === name));
    }
  }

  const playable = boxes.filter((box) => box.dataset.playable !== undefined);

  // Browsers say that a box was opened only after it was, and a key can come between: both look for what has changed.
  function attend(box) {
    if (box.open === Boolean(box.attended)) return;
    box.attended = box.open;
    if (box.open) {
      box.player = box.player || new Player(box);
      if (open && open !== box.player) open.stop();
      open = box.player;
    } else {
      box.player.stop();
      if (open === box.player) open = null;
    }
  }

  playable.forEach((box) => box.addEventListener("toggle", () => attend(box)));

  document.addEventListener("keydown", (event) => {
    playable.forEach(attend);
    if (!open || event.ctrlKey || event.metaKey || event.altKey) return;
    const acts = { a: () => open.a(), b: () => open.b(), x: () => open.x(), " ": () => open.stop(),
      "1": () => open.guess(0), "2": () => open.guess(1), ArrowLeft: () => open.move(-1), ArrowRight: () => open.move(1) };
    const act = acts[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    // Space also opens and presses what has the focus, while there is nothing to stop.
    if (!act || (event.key === " " && open.deck.heard < 0)) return;
    event.preventDefault();
    act();
  });
})();
