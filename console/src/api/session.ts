/** The API key: in this tab's session storage alone, never in a cookie, an address or a log. */
import { useSyncExternalStore } from "react";

const NAME = "levante.key";
const listeners = new Set<() => void>();
let isRefused = false;

/** Take the key out of the address that `levante dev` prints, before anything else is done with the address. */
export function takeKeyFromAddress(): void {
  const match = /^#key=([^&]+)$/.exec(location.hash);
  if (!match?.[1]) return;
  history.replaceState(null, "", `${location.pathname}${location.search}#/`);
  setKey(decodeURIComponent(match[1]));
}

export function getKey(): string | null {
  return sessionStorage.getItem(NAME);
}

export function setKey(key: string | null): void {
  if (key) sessionStorage.setItem(NAME, key);
  else sessionStorage.removeItem(NAME);
  isRefused = false;
  announce();
}

/** The server no longer takes the key: the user is asked for another, and the page keeps what is typed in it. */
export function refuseKey(key: string | null): void {
  if (key !== getKey() || isRefused) return;
  isRefused = true;
  announce();
}

export function useSession(): { key: string | null; isRefused: boolean } {
  const key = useSyncExternalStore(subscribe, getKey);
  const refused = useSyncExternalStore(subscribe, () => isRefused);
  return { key, isRefused: refused };
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function announce(): void {
  for (const listener of listeners) listener();
}
