/** One message at a time about what was just done, or could not be. */
import { useEffect, useSyncExternalStore } from "react";

interface Toast {
  tone: "good" | "bad";
  text: string;
}

let current: Toast | null = null;
const listeners = new Set<() => void>();

export function say(text: string, tone: Toast["tone"] = "good"): void {
  current = { tone, text };
  for (const listener of listeners) listener();
}

function clear(): void {
  current = null;
  for (const listener of listeners) listener();
}

export function Toasts() {
  const toast = useSyncExternalStore(
    (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    () => current,
  );
  useEffect(() => {
    if (!toast) return;
    const timer = setTimeout(clear, toast.tone === "bad" ? 12_000 : 5000);
    return () => clearTimeout(timer);
  }, [toast]);
  return (
    <div role="status">
      {toast && (
        <div className={`toast note ${toast.tone}`}>
          <span>{toast.text}</span>
          <button type="button" className="button small bare" onClick={clear} aria-label="Dismiss">
            ✕
          </button>
        </div>
      )}
    </div>
  );
}
