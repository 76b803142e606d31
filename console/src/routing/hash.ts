/** Addresses of pages: all behind the `#`, so that ids never reach a server's log, and any folder can hold the console. */
import { useSyncExternalStore } from "react";

type Navigate = (to: string, options?: { replace?: boolean }) => void;

function parts(): [string, string] {
  const [path = "/", query = ""] = location.hash.replace(/^#/, "").split("?", 2);
  return [path || "/", query];
}

function subscribe(listener: () => void): () => void {
  addEventListener("hashchange", listener);
  return () => removeEventListener("hashchange", listener);
}

export const navigate: Navigate = (to, options) => {
  if (options?.replace) {
    history.replaceState(null, "", `#${to}`);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = to;
};

/** For wouter's Router. */
export function useHashPath(): [string, Navigate] {
  return [useSyncExternalStore(subscribe, () => parts()[0]), navigate];
}
useHashPath.hrefs = (href: string) => `#${href}`;

/** The query of the page's address, and how to change it: an empty value takes a parameter out. */
export function useQuery(): [URLSearchParams, (changes: Record<string, string | null>) => void] {
  const query = useSyncExternalStore(subscribe, () => parts()[1]);
  const change = (changes: Record<string, string | null>) => {
    const [path, current] = parts();
    const next = new URLSearchParams(current);
    for (const [name, value] of Object.entries(changes)) {
      if (value) next.set(name, value);
      else next.delete(name);
    }
    const text = next.toString();
    navigate(text ? `${path}?${text}` : path, { replace: true });
  };
  return [new URLSearchParams(query), change];
}
