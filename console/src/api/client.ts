/** Calls of the API, typed by its OpenAPI document. */
import { isObject, parseJson, writeJson } from "./json";
import type { Json } from "./json";
import type { components, paths } from "./schema";
import { getKey, refuseKey } from "./session";

export type Schemas = components["schemas"];
type Method = "get" | "post" | "put" | "patch" | "delete";
type PathsOf<M extends Method> = {
  [P in keyof paths]: paths[P][M] extends { responses: object } ? P : never;
}[keyof paths];
type JsonOf<R> = R extends { content: { "application/json": infer T } } ? T : never;
type Answer<O> = O extends { responses: infer R } ? JsonOf<R[keyof R & (200 | 201 | 202)]> : never;
type BodyOf<O> = O extends { requestBody?: infer R } ? JsonBody<NonNullable<R>> : undefined;
type JsonBody<R> = [R] extends [never] ? undefined : R extends { content: { "application/json": infer B } } ? B : undefined;
type QueryOf<O> = O extends { parameters: { query?: infer Q } } ? Q : never;
export type Query = Record<string, string | number | boolean | readonly string[] | null | undefined>;
export type Params = Record<string, string>;

/** The root of the installation: the console is always one folder below it, whatever is in front of both. */
export const ROOT = new URL("..", globalThis.location?.href.split("#")[0] ?? "http://localhost/console/");

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly body: Json,
  ) {
    super(message);
  }
}

export function get<P extends PathsOf<"get">>(
  path: P,
  options: { params?: Params; query?: QueryOf<paths[P]["get"]>; signal?: AbortSignal } = {},
): Promise<Answer<paths[P]["get"]>> {
  return send("GET", path, { ...options, query: options.query as Query });
}

export function post<P extends PathsOf<"post">>(
  path: P,
  options: { params?: Params; body?: BodyOf<paths[P]["post"]>; signal?: AbortSignal } = {},
): Promise<Answer<paths[P]["post"]>> {
  return send("POST", path, options);
}

/** The address of an endpoint. Names in braces are filled in, and nothing of them leaves their place. */
export function addressOf(path: string, params: Params = {}, query: Query = {}): URL {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ""));
  const url = new URL(filled.slice(1), ROOT);
  for (const [name, value] of Object.entries(query)) {
    if (value === null || value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) url.searchParams.append(name, String(one));
  }
  return url;
}

export async function send<T>(
  method: string,
  path: string,
  options: { params?: Params; query?: Query; body?: unknown; signal?: AbortSignal } = {},
): Promise<T> {
  const key = getKey();
  const headers: Record<string, string> = { authorization: `Bearer ${key ?? ""}` };
  if (options.body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(addressOf(path, options.params, options.query), {
      method,
      headers,
      body: options.body === undefined ? undefined : writeJson(options.body),
      signal: options.signal,
      cache: "no-store",
    });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, "UNREACHABLE", "The server does not answer. The page tries again by itself.", null);
  }
  const text = await response.text();
  if (response.ok) return (text ? parseJson(text) : undefined) as T;
  if (response.status === 401) refuseKey(key);
  throw errorOf(response.status, text);
}

/** Read an error as the API writes it; anything else comes from what is in front of it. */
export function errorOf(status: number, text: string): ApiError {
  let body: Json = null;
  try {
    body = parseJson(text);
  } catch {
    return new ApiError(status, "HTTP", `The server answered with status ${status}.`, null);
  }
  const detail = isObject(body) ? body.detail : null;
  const code = isObject(body) && typeof body.code === "string" ? body.code : "HTTP";
  return new ApiError(status, code, saidIn(detail) ?? `The server answered with status ${status}.`, body);
}

function saidIn(detail: Json | undefined): string | null {
  if (typeof detail === "string") return detail;
  if (!Array.isArray(detail)) return null;
  const problems = detail.filter(isObject).map((one) => {
    const place = Array.isArray(one.loc) ? one.loc.filter((part) => part !== "body").join(".") : "";
    return place ? `${place}: ${String(one.msg)}` : String(one.msg);
  });
  return problems.join("\n") || null;
}
