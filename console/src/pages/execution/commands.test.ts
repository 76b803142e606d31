import { expect, test } from "vitest";
import { quoted } from "./commands";

test("a text of any kind is one word of a shell", () => {
  expect(quoted("order-1")).toBe("order-1");
  expect(quoted("it's; rm -rf /")).toBe(`'it'\\''s; rm -rf /'`);
});
