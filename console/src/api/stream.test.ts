import { expect, test } from "vitest";
import { parseFrame } from "./stream";

test("a frame has its id, its event and its data", () => {
  expect(parseFrame("event: log\nid: 7\ndata: a\ndata: b")).toEqual({ id: "7", event: "log", data: "a\nb" });
});

test("comments and hints to come again are no frames", () => {
  expect(parseFrame(": keep-alive")).toBeNull();
  expect(parseFrame("retry: 1000")).toBeNull();
});
