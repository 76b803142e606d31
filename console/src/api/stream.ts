/** Server-sent events by `fetch`, since the browser's own reader cannot send a key in a header. */
import { addressOf, errorOf } from "./client";
import type { Params, Query } from "./client";
import { getKey, refuseKey } from "./session";

export interface Frame {
  id: string | null;
  event: string;
  data: string;
}

const AGAIN_MILLISECONDS = 1500;
/** Where nothing has ever come, such as from a server that lets this page not read its streams, it is asked for less and less. */
const LONGEST_PAUSE_MILLISECONDS = 60_000;

/** Read a stream until it ends by itself or `signal` aborts; comes again from where it was when the connection is lost. */
export async function follow(
  path: string,
  options: { params: Params; query?: Query; signal: AbortSignal; onFrame: (frame: Frame) => void },
): Promise<void> {
  let last: string | null = null;
  let pause = AGAIN_MILLISECONDS;
  while (!options.signal.aborted) {
    try {
      for await (const frame of frames(path, options, last)) {
        last = frame.id ?? last;
        pause = AGAIN_MILLISECONDS;
        options.onFrame(frame);
      }
      return;
    } catch (error) {
      if (options.signal.aborted || isFinal(error)) return;
      const wait = pause;
      await new Promise((resolve) => setTimeout(resolve, wait));
      pause = Math.min(2 * pause, LONGEST_PAUSE_MILLISECONDS);
    }
  }
}

function isFinal(error: unknown): boolean {
  return typeof error === "object" && error !== null && "status" in error && Number(error.status) >= 400 && Number(error.status) < 500;
}

async function* frames(path: string, options: Parameters<typeof follow>[1], last: string | null): AsyncGenerator<Frame> {
  const key = getKey();
  const headers: Record<string, string> = { authorization: `Bearer ${key ?? ""}`, accept: "text/event-stream" };
  if (last) headers["last-event-id"] = last;
  const response = await fetch(addressOf(path, options.params, options.query), { headers, signal: options.signal, cache: "no-store" });
  if (response.status === 401) refuseKey(key);
  if (!response.ok || !response.body) throw errorOf(response.status, await response.text());
  let rest = "";
  for await (const text of read(response.body)) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      const frame = parseFrame(part);
      if (frame) yield frame;
    }
  }
}

async function* read(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  try {
    while (true) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** One frame; null for comments and what has no data. */
export function parseFrame(text: string): Frame | null {
  const frame: Frame = { id: null, event: "message", data: "" };
  const data: string[] = [];
  for (const line of text.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name === "data") data.push(value ?? "");
    else if (name === "id") frame.id = value ?? null;
    else if (name === "event") frame.event = value ?? "message";
  }
  return data.length ? { ...frame, data: data.join("\n") } : null;
}
