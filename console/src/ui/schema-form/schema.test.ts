import { expect, test } from "vitest";
import { fieldOf, initialValue, problemsIn, typedNumber } from "./schema";
import type { Schema } from "./schema";

const ORDER: Schema = {
  type: "object",
  required: ["customer", "items"],
  properties: {
    customer: { type: "string" },
    items: { type: "array", items: { $ref: "#/$defs/Item" } },
    note: { anyOf: [{ type: "string" }, { type: "null" }], default: null },
    speed: { enum: ["standard", "express"], default: "standard" },
  },
  $defs: { Item: { type: "object", required: ["article"], properties: { article: { type: "string" }, quantity: { type: "integer", default: 1 } } } },
};

test("a form begins with defaults, and with the empty value of what is required", () => {
  expect(initialValue(ORDER, ORDER)).toEqual({ customer: "", items: [], note: null, speed: "standard" });
  expect(initialValue({ $ref: "#/$defs/Item" }, ORDER)).toEqual({ article: "", quantity: 1 });
});

test("an alternative to null is a field that may stay empty", () => {
  expect(fieldOf({ anyOf: [{ type: "integer" }, { type: "null" }] }, ORDER)).toMatchObject({ kind: "integer", isNullable: true });
});

test("what a form cannot show is edited as JSON", () => {
  expect(fieldOf({ anyOf: [{ type: "integer" }, { type: "string" }] }, ORDER).kind).toBe("json");
  expect(fieldOf({ type: "object", additionalProperties: { type: "string" } }, ORDER).kind).toBe("json");
});

test("a schema that refers to itself ends", () => {
  const tree: Schema = { $ref: "#/$defs/T", $defs: { T: { type: "object", properties: { below: { anyOf: [{ $ref: "#/$defs/T" }, { type: "null" }], default: null } } } } };
  expect(initialValue(tree, tree)).toEqual({ below: null });
});

test("problems are told where they are", () => {
  const problems = problemsIn({ customer: "ada", items: [{ quantity: "two" }] }, ORDER);
  expect([...problems.keys()]).toContain("/items/0/quantity");
});

test.each([["9223372036854775807", true], ["-1.5e3", true], ["1.", false], ["two", false], ["", false]])("%s is a number: %s", (text, isOne) => {
  expect(typedNumber(text) !== undefined).toBe(isOne);
});
