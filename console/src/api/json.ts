/** JSON whose numbers come back as they were written: what a JavaScript number cannot hold stays text. */
import { LosslessNumber, isLosslessNumber, parse, stringify } from "lossless-json";

export type Json = null | boolean | number | string | LosslessNumber | Json[] | { [key: string]: Json };

function exact(text: string): number | LosslessNumber {
  const value = Number(text);
  return String(value) === text ? value : new LosslessNumber(text);
}

/** Raises SyntaxError for text that is no JSON. */
export function parseJson(text: string): Json {
  return parse(text, undefined, exact) as Json;
}

export function writeJson(value: unknown, indent?: number): string {
  return stringify(value, undefined, indent) ?? "null";
}

export function isNumber(value: unknown): value is number | LosslessNumber {
  return typeof value === "number" || isLosslessNumber(value);
}

export function isObject(value: unknown): value is { [key: string]: Json } {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !isLosslessNumber(value);
}
