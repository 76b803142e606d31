import { describe, expect, test } from "vitest";
import { parseJson, writeJson } from "./json";

describe("JSON", () => {
  test.each(["9223372036854775807", "-9223372036854775808", "0.1", "1.0", "1e400", "12345678901234567890.125"])(
    "%s comes back as it was written",
    (text) => expect(writeJson(parseJson(`{"n":${text}}`))).toBe(`{"n":${text}}`),
  );
  test("what is no JSON is refused", () => expect(() => parseJson("{,}")).toThrow());
});
