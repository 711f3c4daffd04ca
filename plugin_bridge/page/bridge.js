// The one way from the page to the bridge: a token in a header, problems as errors, and whether anybody answers.

const TOKEN = "spresso.token";
const NEAR_S = 5;
const AWAY_S = 2;

/** What went wrong, in the bridge's own words: `message` is one sentence, `hint` what to do. */
export class Problem extends Error {
  constructor({ detail = "", title = "", code = "", hint = "", status = 0 } = {}) {
    super(detail || title || `The bridge answered ${status}`);
    Object.assign(this, { code, hint, status });
  }
}

/** Whether a request was given up by the page itself. */
export const wasAborted = (error) => error?.name === "AbortError";

/** `state` events: "up", "away" (nobody answers) or "locked" (no token, or one of a bridge that has gone). */
export class Bridge extends EventTarget {
  #token = sessionStorage.getItem(TOKEN) ?? "";
  #others = new BroadcastChannel("spresso");
  #timer = 0;
  #last = "";
  state = "up";

  constructor() {
    super();
    // A new key that another tab of this very origin was given serves the tabs that wait as well.
    this.#others.onmessage = (message) => {
      if (this.state === "locked" && typeof message.data === "string") this.#unlock(message.data);
    };
  }

  get hasToken() {
    return this.#token !== "";
  }

  /** Exchange a one-time code for the token. */
  async enter(code) {
    const response = await this.#fetch("/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ code }),
    });
    if (!response.ok) throw await problemOf(response);
    const { token } = await response.json();
    this.#unlock(token);
    this.#others.postMessage(token);
  }

  /** A response with a good status. `body` is sent as JSON. */
  async ask(path, { method = "GET", body, signal, headers = {} } = {}) {
    const all = { Authorization: `Bearer ${this.#token}`, ...headers };
    if (body !== undefined) all["Content-Type"] = "application/json";
    const response = await this.#fetch(path, {
      method,
      signal,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.status === 401) this.#become("locked");
    if (!response.ok) throw await problemOf(response);
    return response;
  }

  async json(path, options) {
    return (await this.ask(path, options)).json();
  }

  /** Call `tell(kind, data)` for every server-sent event until the signal; what a break hid is told afterwards. */
  async follow(path, tell, signal) {
    while (!signal.aborted) {
      try {
        const response = await this.ask(path, { signal, headers: this.#last ? { "Last-Event-ID": this.#last } : {} });
        for await (const event of serverSent(response.body)) {
          if (event.id) this.#last = event.id;
          if (event.data) tell(event.kind, JSON.parse(event.data));
        }
      } catch (error) {
        if (wasAborted(error) || this.state === "locked") return;
      }
      await new Promise((wake) => setTimeout(wake, AWAY_S * 1000));
    }
  }

  /** Look from time to time whether the bridge lives. */
  watch() {
    clearTimeout(this.#timer);
    const look = async () => {
      if (this.state !== "locked") {
        try {
          await (await this.#fetch("/v1/health", { cache: "no-store" })).json();
        } catch {
          // #fetch has noted it.
        }
      }
      this.#timer = setTimeout(look, (this.state === "away" ? AWAY_S : NEAR_S) * 1000);
    };
    look();
  }

  async #fetch(path, options) {
    try {
      const response = await fetch(path, { credentials: "omit", redirect: "error", ...options });
      if (this.state === "away") this.#become("up");
      return response;
    } catch (error) {
      if (wasAborted(error)) throw error;
      if (this.state === "up") this.#become("away");
      throw new Problem({
        detail: "The bridge does not answer.",
        hint: "Is it running? Start it with: spresso serve. This page comes back by itself.",
        code: "bridge_away",
      });
    }
  }

  #unlock(token) {
    this.#token = token;
    sessionStorage.setItem(TOKEN, token);
    this.#become("up");
  }

  #become(state) {
    if (state === "locked") {
      this.#token = "";
      sessionStorage.removeItem(TOKEN);
    }
    const before = this.state;
    this.state = state;
    if (before !== state) this.dispatchEvent(new CustomEvent("state", { detail: { state, before } }));
  }
}

async function problemOf(response) {
  const said = await response.json().catch(() => ({}));
  const problem = new Problem({ ...said, status: response.status });
  problem.retryAfterS = Number(response.headers.get("Retry-After")) || 0;
  return problem;
}

/** The events of a text/event-stream body, by the rules of the HTML standard, section 9.2.6. */
async function* serverSent(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let event = { kind: "message", data: "", id: "" };
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const lines = (text + value).split(/\r\n|\n|\r(?!$)/);
      text = lines.pop();
      for (const line of lines) {
        if (line === "") {
          yield { ...event, data: event.data.replace(/\n$/, "") };
          event = { kind: "message", data: "", id: "" };
          continue;
        }
        const [, field, content] = /^([^:]*):? ?(.*)$/s.exec(line);
        if (field === "event") event.kind = content;
        else if (field === "data") event.data += `${content}\n`;
        else if (field === "id") event.id = content;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
