// The page's engine: models are asked over HTTP.

class ServerError extends Error {
  constructor(status, { what = "the server did not answer", why = "", hint = "" } = {}) {
    super([what, why].filter(Boolean).join(": "));
    Object.assign(this, { status, what, why, hint });
  }
}

class ServerEngine {
  constructor() {
    this.token = "";
  }

  // Ask an endpoint. body: null for a GET. Return the response; raise what it refuses.
  async ask(path, body = null, signal = undefined) {
    const headers = {};
    if (this.token) headers.Authorization = `Bearer ${this.token}`;
    if (body) headers["Content-Type"] = "application/json";
    const init = { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) };
    let response;
    try {
      response = await fetch(path, init);
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ServerError(0, { what: "the server cannot be reached", hint: "is rnnlm serve still running?" });
    }
    if (response.ok) return response;
    const told = await response.json().catch(() => ({}));
    throw new ServerError(response.status, told.error);
  }

  async models() {
    return (await (await this.ask("models")).json()).models;
  }

  async score(model, text, { given, next_words = 0 } = {}) {
    const body = { model, sentences: [text], words: true, next_words };
    if (given) body.given = given;
    const { scores } = await (await this.ask("score", body)).json();
    return scores[0];
  }

  async next(model, text, n) {
    return (await (await this.ask("next", { model, text, n })).json()).next;
  }

  async inspect(model, what, text) {
    return (await this.ask("inspect", { model, what, text })).json();
  }

  // Read server-sent events as they come; each is a line that begins with "data: ". The end of a
  // sentence is no event of its own.
  async generate(model, settings, onWord, signal) {
    const response = await this.ask("generate", { model, stream: true, ...settings }, signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return null;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (!line.startsWith("data: ")) continue;
        const event = JSON.parse(line.slice(6));
        if (event.error) throw new ServerError(0, event.error);
        if (!event.done) {
          onWord?.(event.text);
          continue;
        }
        const [sample] = event.samples;
        if (sample.complete) onWord?.("</s>");
        return sample;
      }
    }
  }
}
