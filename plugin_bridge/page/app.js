// The page: puts its parts together.

import { aboutPane, badges, facts, honest, renditionsPane } from "./about.js";
import { Audition } from "./audition.js";
import { Bridge, Problem } from "./bridge.js";
import { Deck, RATE } from "./deck.js";
import { Deliver } from "./deliver.js";
import { byId, make } from "./elements.js";
import { Filters } from "./filters.js";
import { Kept } from "./kept.js";
import { listen } from "./keys.js";
import { SoundList } from "./list.js";
import { Peaks } from "./peaks.js";
import { Results } from "./results.js";
import { bind, settings } from "./settings.js";
import { SlotTable } from "./slots.js";
import { Takes } from "./takes.js";
import { Variations } from "./variations.js";
import { Views } from "./views.js";
import { Work } from "./work.js";
import { clock, plural } from "./wording.js";

const CHOOSE_MS = 90; // between two sounds while an arrow key is held
const METER_FLOOR_DB = -60;

// The code works once; it has no business in the address bar or in the history.
const code = new URLSearchParams(location.search).get("code");
if (location.search) history.replaceState(null, "", location.pathname);

const bridge = new Bridge();
const peaks = new Peaks(bridge);
const takes = new Takes(bridge);
const results = new Results(bridge);
const deck = new Deck();
const views = new Views({ wave: byId("wave"), spectrum: byId("spectrum"), over: byId("over"), rate: RATE });
const audition = new Audition({ bridge, deck, takes, views });
const list = new SoundList(byId("list"), byId("head"), peaks);
const filters = new Filters((parameters) => results.search(parameters));
const deliver = new Deliver({
  bridge,
  said,
  failed,
  chosen: () => ({ takes: [chosenTake()].filter(Boolean), stretch: stretch() }),
});
const work = new Work(bridge, (info) => {
  deliver.offer(info);
  filters.offer(info);
});
const kept = new Kept(byId("pane-kept"), {
  place: (all) => deliver.place(all),
  pack: (all) => deliver.pack(all),
  hear: showKept,
});
const variations = new Variations(byId("pane-variations"), {
  ...{ bridge, audition, kept, failed },
  play: (index) => playVariation(index),
});
const slots = new SlotTable(byId("pane-slots"), { bridge, said, failed, chosen: () => audition });

// ---- what is said ----------------------------------------------------------------------------------------------------

function said(text) {
  byId("said").textContent = text;
  byId("said").title = text;
  if (text) byId("message").hidden = true;
}

function failed(error) {
  if (bridge.state !== "up" && error.code === "bridge_away") return; // the link says so
  if (error.status === 401) return;
  const sentence = error.message.charAt(0).toUpperCase() + error.message.slice(1);
  const text = [sentence.replace(/([^.!?…])$/, "$1."), error.hint].filter(Boolean).join(" ");
  byId("message").querySelector("span").textContent = text;
  byId("message").title = text;
  byId("message").hidden = false;
  if (!("code" in error)) console.error(error);
}

byId("message")
  .querySelector("button")
  .addEventListener("click", () => (byId("message").hidden = true));

// ---- finding ---------------------------------------------------------------------------------------------------------

let badQuery = false;

results.addEventListener("changed", ({ detail }) => {
  if (badQuery) byId("message").hidden = true; // it was about a query that has been mended
  badQuery = false;
  const { items, total, exact } = results;
  byId("count").textContent = `${total.toLocaleString("en")}${exact ? "" : "+"} ${total === 1 ? "sound" : "sounds"}`;
  if (detail.anew) byId("refresh").hidden = true;
  filters.know(results);
  byId("nothing").hidden = items.length > 0;
  byId("nothing").textContent = filters.any
    ? "Nothing matches. Fewer words or filters find more; -word leaves a word out, door,gate finds either."
    : "This catalog holds no sounds yet. Fill it with: spresso ingest FOLDER";
  list.show(items, detail.anew);
});
results.addEventListener("failed", ({ detail }) => {
  badQuery = true;
  failed(detail);
});
list.addEventListener("near-end", () => results.next());

peaks.addEventListener("arrived", ({ detail }) => {
  if (detail === audition.sound?.id && peaks.get(detail)) views.know(peaks.get(detail));
});

let choosing = 0;
let lastChoice = 0;
list.addEventListener("chosen", ({ detail }) => {
  clearTimeout(choosing);
  const quick = performance.now() - lastChoice < CHOOSE_MS;
  lastChoice = performance.now();
  if (quick) {
    deck.stop();
    choosing = setTimeout(() => choose(detail.item), CHOOSE_MS);
  } else choose(detail.item);
});

let detailAsked = new AbortController();

async function choose(item, { play = settings.autoPlay, seed } = {}) {
  byId("empty").hidden = true;
  byId("chosen").hidden = false;
  byId("name").textContent = item.name;
  byId("name").title = item.filename ?? "";
  views.expect(Math.round(item.duration_s * RATE));
  if (peaks.get(item.id)) views.know(peaks.get(item.id));
  audition.choose(item, play);
  if (seed != null) audition.hear({ seed, play });
  showSound();
  detailAsked.abort();
  detailAsked = new AbortController();
  const { signal } = detailAsked;
  try {
    const [full] = await Promise.all([
      bridge.json(`/v1/sounds/${item.id}`, { signal }),
      variations.show(item, audition.profile),
    ]);
    if (signal.aborted) return;
    // The found item and its details are one sound; those who hold the item learn the rest.
    Object.assign(item, full);
    list.renew(item);
    if (seed != null) variations.adopt(seed);
    showSound();
    settle();
  } catch (error) {
    if (error.name !== "AbortError") failed(error);
  }
}

/** Show a kept take's sound, wherever it is. */
async function showKept({ id, seed, profile }) {
  try {
    const found = results.items.findIndex((item) => item.id === id);
    const item = found >= 0 ? results.items[found] : await bridge.json(`/v1/sounds/${id}`);
    await choose(item, { play: true, seed });
    if (profile) audition.hear({ profile, play: true });
  } catch (error) {
    failed(error);
  }
}

// ---- the chosen sound ------------------------------------------------------------------------------------------------

function showSound() {
  const { sound, profile } = audition;
  if (!sound) return;
  byId("facts").textContent = facts(sound);
  byId("badges").replaceChildren(...badges(sound, profile));
  renditionsPane(byId("pane-renditions"), sound, profile, (name) => {
    // Every rendition has a seed of its own; the first card is that one.
    audition.hear({ profile: name, seed: null, play: deck.playing || settings.autoPlay, stay: deck.playing });
    variations.show(sound, name);
  });
  aboutPane(byId("pane-about"), sound, (field, value) => filters.add(field, value));
  showSides();
}

function showSides() {
  const { side, sound, profile, stage, whyOffline } = audition;
  byId("side-a").setAttribute("aria-pressed", side === "made");
  byId("side-b").setAttribute("aria-pressed", side === "original");
  byId("side-a").disabled = !sound?.profiles.length;
  byId("side-b").setAttribute("aria-disabled", Boolean(whyOffline));
  const decoding = { decoding: "Decoding…", preview: "Preview; decoding full quality…" }[stage];
  const offline = whyOffline && `No A/B: ${whyOffline}.`;
  const told = [decoding, audition.note, offline].filter(Boolean).join(" ");
  byId("ab-note").textContent = told || (side === "made" ? honest(sound, profile) : "This is the original.");
  byId("ab-note").title = byId("ab-note").textContent;
  byId("chosen").dataset.stage = stage;
  byId("reroll").disabled = !sound?.profiles.length;
}

/** Once the chosen take is whole, the other variations are decoded ahead. */
function settle() {
  if (audition.stage === "" && audition.made?.whole) audition.ahead(variations.wanted);
}

audition.addEventListener("changed", () => {
  byId("badges").replaceChildren(...badges(audition.sound, audition.profile));
  for (const row of byId("pane-renditions").querySelectorAll("tbody tr")) {
    row.classList.toggle("now", row.dataset.profile === (audition.profile ?? audition.sound.profiles[0]));
  }
  showSides();
  variations.paint();
  showDeck();
  settle();
});
audition.addEventListener("drawn", () => variations.paint());
audition.addEventListener("failed", ({ detail }) => failed(detail));

function playVariation(index) {
  const card = variations.cards[index];
  if (!card) return;
  variations.at = index;
  audition.hear({ seed: card.own ? null : card.seed, play: true });
}

async function reroll() {
  const { sound, profile, seed } = audition;
  if (!sound?.profiles.length) return;
  await variations.reroll(sound, profile);
  const { card } = variations;
  const wanted = card?.own ? null : (card?.seed ?? null);
  if (wanted !== seed) audition.hear({ seed: wanted, play: true });
  else settle();
}

/** The take that is chosen, as others name it. */
function chosenTake() {
  const { sound, profile } = audition;
  return sound && { id: sound.id, name: sound.name, seed: variations.card?.seed ?? null, profile };
}

function place(all) {
  const { sound } = audition;
  if (all) {
    if (kept.takes.length) deliver.place(kept.takes);
    else said("Nothing is kept: press K on the takes that you want");
    return;
  }
  if (!sound) return;
  if (!sound.profiles.length) {
    const hint = `Encode it with: spresso encode id:${sound.id.slice(0, 8)}`;
    failed(
      new Problem({ detail: "This sound is not encoded, so there is nothing to place.", hint, code: "not_encoded" }),
    );
    return;
  }
  deliver.place([chosenTake()], stretch());
}

/** The selected part in seconds, as requests name it; nothing for all. */
function stretch() {
  const { region } = deck;
  return region ? { start: region.from / RATE, dur: (region.to - region.from) / RATE } : {};
}

function copy(id) {
  const take = chosenTake();
  if (!take) return;
  if (id) deliver.copy(take.id, "the id");
  else {
    const path = deliver.pathOf(take);
    if (path) deliver.copy(path, "the path");
    else said("Place this take first (Enter); then its path can be copied");
  }
}

kept.addEventListener("changed", () => {
  variations.paint();
  showKeptCount();
});

function showKeptCount() {
  byId("tab-kept").textContent = kept.takes.length ? `Kept (${kept.takes.length})` : "Kept";
}

// ---- playing ---------------------------------------------------------------------------------------------------------

function showDeck() {
  const seconds = deck.at / RATE;
  const whole = deck.frames / RATE;
  byId("play").textContent = deck.playing ? (deck.waits ? "Wait…" : "Stop") : "Play";
  byId("play").disabled = !deck.id && !audition.sound?.profiles.length;
  byId("time").textContent = `${clock(seconds, 2)} / ${clock(whole, 2)}`;
  const over = byId("over");
  over.setAttribute("aria-valuemax", whole.toFixed(2));
  over.setAttribute("aria-valuenow", seconds.toFixed(2));
  over.setAttribute("aria-valuetext", `${seconds.toFixed(2)} of ${whole.toFixed(2)} seconds`);
  views.move(deck.at);
}

deck.addEventListener("moved", () => {
  showDeck();
  const level = Math.max(METER_FLOOR_DB, Math.min(0, 20 * Math.log10(deck.peak + 1e-9)));
  const meter = byId("meter");
  meter.setAttribute("aria-valuenow", deck.playing ? level.toFixed(1) : METER_FLOOR_DB);
  const share = deck.playing ? 100 * (level / METER_FLOOR_DB) : 100;
  meter.firstElementChild.style.clipPath = `inset(0 ${share.toFixed(1)}% 0 0)`;
});
deck.ready.catch((error) => failed(Object.assign(error, { hint: "Sound cannot be played in this browser." })));

views.addEventListener("seek", ({ detail }) => {
  deck.seek(detail);
  if (!deck.playing && settings.autoPlay && deck.id) deck.play(detail);
});
views.addEventListener("region", ({ detail }) => {
  deck.between(detail);
  if (detail && deck.id) deck.playing || settings.autoPlay ? deck.play(detail.from) : deck.seek(detail.from);
  byId("place").textContent = detail ? "Place part" : "Place";
});

function setLoop(loop) {
  settings.loop = loop;
  deck.looping = loop;
  byId("loop").setAttribute("aria-pressed", loop);
}

byId("play").addEventListener("click", () => audition.toggle());
byId("loop").addEventListener("click", () => setLoop(!settings.loop));
byId("side-a").addEventListener("click", () => audition.turn("made"));
byId("side-b").addEventListener("click", () => audition.turn("original"));
byId("reroll").addEventListener("click", reroll);
byId("copy-path").addEventListener("click", () => copy(false));
byId("copy-id").addEventListener("click", () => copy(true));
byId("deliver").addEventListener("submit", (event) => {
  event.preventDefault();
  place(false);
});
byId("volume").addEventListener("input", () => (deck.volume = Number(byId("volume").value)));
bind(byId("volume"), "volume");
deck.volume = settings.volume;
setLoop(settings.loop);

// ---- tabs, dialogs, keys ---------------------------------------------------------------------------------------------

const tabs = [...document.querySelectorAll("[role=tab]")];

function openTab(tab) {
  for (const other of tabs) {
    other.setAttribute("aria-selected", other === tab);
    other.tabIndex = other === tab ? 0 : -1;
    byId(other.getAttribute("aria-controls")).hidden = other !== tab;
  }
  byId("reroll").hidden = tab.id !== "tab-variations";
  if (tab.id === "tab-slots") slots.show();
  if (tab.id === "tab-variations") variations.paint();
}

for (const tab of tabs) {
  tab.addEventListener("click", () => openTab(tab));
  tab.addEventListener("keydown", ({ key }) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
    if (!step) return;
    const next = tabs.at((tabs.indexOf(tab) + step) % tabs.length);
    openTab(next);
    next.focus();
  });
}

bind(byId("set-auto-play"), "autoPlay");
bind(byId("set-preview-first"), "previewFirst");
bind(byId("set-ahead"), "ahead", settle);
bind(byId("set-match"), "matchLoudness", () => audition.match().then(showSides));
bind(byId("set-quality"), "quality");
bind(byId("set-names"), "nameStyle");
byId("open-settings").addEventListener("click", () => byId("settings").showModal());
byId("open-keys").addEventListener("click", () => byId("keys").showModal());
for (const id of ["settings", "keys"])
  byId(id).addEventListener("close", () => byId("list").focus({ preventScroll: true }));

listen({
  step: (by) => {
    byId("list").focus({ preventScroll: true });
    list.choose(list.at < 0 ? 0 : list.at + by);
  },
  page: (by) => list.choose(Math.max(0, list.at) + by * list.page),
  end: (to) => list.choose(to < 0 ? 0 : Infinity),
  play: () => audition.toggle(),
  nudge: (by) => deck.id && deck.seek(deck.at + by * Math.max(0.02 * RATE, 0.02 * deck.frames)),
  loop: () => setLoop(!settings.loop),
  mark: (edge) => {
    if (!deck.frames) return;
    const region = { from: 0, to: deck.frames, ...deck.region, [edge]: deck.at };
    if (region.to > region.from) views.select(region);
  },
  zoom: (key) => views.zoom({ "-": 1 / 2, 0: 1e-9 }[key] ?? 2),
  turn: () => audition.turn(),
  variation: playVariation,
  another: (by) =>
    variations.cards.length && playVariation((variations.at + by + variations.cards.length) % variations.cards.length),
  reroll,
  keep: () => variations.keep(),
  place,
  send: () => deliver.send(),
  copy,
  search: () => (byId("query").focus(), byId("query").select()),
  toList: () => byId("list").focus({ preventScroll: true }),
  leaveSearch: (key) => {
    byId("list").focus({ preventScroll: true });
    if (key !== "Escape") list.choose(Math.max(0, list.at));
  },
  escape: () => {
    if (!byId("message").hidden) byId("message").hidden = true;
    else if (views.region) views.select(null);
    else if (deck.playing) deck.stop();
    byId("list").focus({ preventScroll: true });
  },
  help: () => byId("keys").showModal(),
});

matchMedia("(prefers-color-scheme: light)").addEventListener("change", () => {
  list.repaint();
  views.repaint();
  variations.paint();
});

// After a click the keys mean the list again, not the button; whoever came by keyboard stays.
byId("app").addEventListener("click", ({ target, detail }) => {
  if (detail > 0 && target.closest("button") && !document.querySelector("dialog[open]")) {
    byId("list").focus({ preventScroll: true });
  }
});

// ---- the way in ------------------------------------------------------------------------------------------------------

let following = new AbortController();

async function begin() {
  byId("gate").hidden = true;
  byId("app").hidden = false;
  try {
    work.tell(await bridge.json("/v1/info"));
  } catch (error) {
    failed(error);
    if (bridge.state !== "up") return;
  }
  filters.search();
  work.look();
  showKeptCount();
  follow();
  byId("list").focus({ preventScroll: true });
}

// A browser has six connections for all tabs of an address; tabs that nobody sees do without the stream.
function follow() {
  following.abort();
  following = new AbortController();
  if (bridge.state === "up" && !document.hidden) bridge.follow("/v1/events", happened, following.signal);
}

document.addEventListener("visibilitychange", follow);

let refreshing = 0;

byId("refresh").addEventListener("click", () => filters.search());

function happened(kind, data) {
  if (kind !== "catalog-changed") {
    deliver.event(kind, data);
    return;
  }
  // A list that somebody has scrolled into must not jump under their hands.
  clearTimeout(refreshing);
  refreshing = setTimeout(() => {
    if (list.top) filters.search();
    else byId("refresh").hidden = false;
  }, 500);
}

function lock(why) {
  deck.stop();
  following.abort();
  byId("app").hidden = true;
  byId("gate").hidden = false;
  byId("gate-why").textContent = why;
}

bridge.addEventListener("state", ({ detail: { state, before } }) => {
  if (state === "locked") lock("The bridge was started anew, and this page's key went with the old one.");
  else if (state === "up" && before !== "up") begin();
});

async function enter() {
  if (code) {
    try {
      await bridge.enter(code);
    } catch (error) {
      if (!bridge.hasToken) {
        lock(
          error.status === 403
            ? "The code in that address was used before, or is older than five minutes."
            : error.message,
        );
        bridge.state = "locked";
        return;
      }
    }
  }
  if (bridge.hasToken) await begin();
  else {
    bridge.state = "locked";
    lock("This page needs a key to your sounds, and has none.");
  }
  bridge.watch();
}

enter();
