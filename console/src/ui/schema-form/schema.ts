/** The part of JSON Schema that pydantic writes, made ready for a form. Pure functions. */
import { Validator } from "@cfworker/json-schema";
import { isLosslessNumber } from "lossless-json";
import { isObject, parseJson } from "../../api/json";
import type { Json } from "../../api/json";

export type Schema = { [key: string]: Json };
export type Field =
  | { kind: "text" | "long" | "integer" | "number" | "boolean" | "json"; schema: Schema; isNullable: boolean }
  | { kind: "choice"; schema: Schema; isNullable: boolean; options: Json[] }
  | { kind: "object"; schema: Schema; isNullable: boolean; members: [string, Schema][] }
  | { kind: "list"; schema: Schema; isNullable: boolean; items: Schema };

/** Follow a reference, and take null out of the alternatives: a form shows it as an empty field. */
export function resolved(schema: Schema, root: Schema): { schema: Schema; isNullable: boolean } {
  let current = schema;
  for (let depth = 0; typeof current.$ref === "string" && depth < 20; depth++) {
    const { $ref, ...beside } = current;
    current = { ...lookUp(root, String($ref)), ...beside };
  }
  const options = current.anyOf ?? current.oneOf;
  if (!Array.isArray(options)) return { schema: current, isNullable: false };
  const real = options.filter(isObject).filter((one) => one.type !== "null");
  const isNullable = real.length < options.length;
  const [only] = real;
  if (real.length !== 1 || !only) return { schema: { ...current, anyOf: real }, isNullable };
  const { anyOf: _, oneOf: __, ...beside } = current;
  return { schema: { ...resolved(only, root).schema, ...beside }, isNullable };
}

function lookUp(root: Schema, reference: string): Schema {
  let found: Json = root;
  for (const name of reference.replace(/^#\//, "").split("/")) found = isObject(found) ? (found[name.replaceAll("~1", "/")] ?? {}) : {};
  return isObject(found) ? found : {};
}

export function fieldOf(given: Schema, root: Schema): Field {
  const { schema, isNullable } = resolved(given, root);
  const base = { schema, isNullable };
  if (Array.isArray(schema.enum)) return { ...base, kind: "choice", options: schema.enum };
  switch (schema.type) {
    case "string":
      return { ...base, kind: Number(schema.maxLength ?? 0) > 200 ? "long" : "text" };
    case "integer":
    case "number":
    case "boolean":
      return { ...base, kind: schema.type };
    case "object": {
      const members = isObject(schema.properties) ? Object.entries(schema.properties) : [];
      if (members.length === 0) return { ...base, kind: "json" };
      return { ...base, kind: "object", members: members.map(([name, one]) => [name, isObject(one) ? one : {}]) };
    }
    case "array":
      if (isObject(schema.items) && fieldOf(schema.items, root).kind !== "json") return { ...base, kind: "list", items: schema.items };
      return { ...base, kind: "json" };
    default:
      return { ...base, kind: "json" };
  }
}

/** What a form begins with: defaults, and for what is required the empty value of its kind. */
export function initialValue(given: Schema, root: Schema): Json {
  const field = fieldOf(given, root);
  if (field.schema.default !== undefined) return field.schema.default;
  if (field.isNullable) return null;
  switch (field.kind) {
    case "object": {
      const required = Array.isArray(field.schema.required) ? field.schema.required : [];
      const wanted = field.members.filter(([name, one]) => required.includes(name) || one.default !== undefined);
      return Object.fromEntries(wanted.map(([name, one]) => [name, initialValue(one, root)]));
    }
    case "list":
      return [];
    case "boolean":
      return false;
    case "choice":
      return field.options[0] ?? null;
    case "text":
    case "long":
      return "";
    default:
      return null;
  }
}

/** A number exactly as typed; undefined while it is none. */
export function typedNumber(text: string): Json | undefined {
  return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(text.trim()) ? parseJson(text.trim()) : undefined;
}

/** What is wrong with a value, by the place where it is (`/items/0/article`); the server checks again. */
export function problemsIn(value: Json, schema: Schema): Map<string, string> {
  const problems = new Map<string, string>();
  let errors: { instanceLocation: string; error: string; keyword: string }[];
  try {
    errors = new Validator(schema as object, "2020-12", false).validate(plain(value)).errors;
  } catch {
    return problems; // a schema that the checker does not know: the server has the last word
  }
  for (const one of errors) {
    if (["properties", "items", "$ref", "anyOf", "allOf"].includes(one.keyword)) continue;
    const place = one.instanceLocation.replace(/^#/, "");
    if (!problems.has(place)) problems.set(place, one.error);
  }
  return problems;
}

function plain(value: Json): unknown {
  if (isLosslessNumber(value)) return Number(value.toString());
  if (Array.isArray(value)) return value.map(plain);
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, plain(one)]));
  return value;
}
