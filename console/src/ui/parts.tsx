/** The small parts that all pages are made of. */
import type { ReactNode } from "react";
import { useState } from "react";
import { ApiError } from "../api/client";

export type Tone = "good" | "bad" | "warn" | "running" | "quiet";

const STATUSES: Record<string, [Tone, string]> = {
  RUNNING: ["running", "Running"],
  COMPLETED: ["good", "Completed"],
  FAILED: ["bad", "Failed"],
  CANCELED: ["quiet", "Canceled"],
  TERMINATED: ["warn", "Terminated"],
  TIMED_OUT: ["bad", "Timed out"],
  CONTINUED_AS_NEW: ["quiet", "Continued"],
};

export function Status({ status }: { status: string | null }) {
  const [tone, text] = STATUSES[status ?? ""] ?? ["quiet", status ?? "Unknown"];
  return <span className={`badge ${tone} ${status === "RUNNING" ? "live" : ""}`}>{text}</span>;
}

export function Badge({ tone = "quiet", children }: { tone?: Tone; children: ReactNode }) {
  return <span className={`badge plain ${tone}`}>{children}</span>;
}

export function Card({ title, side, children }: { title?: ReactNode; side?: ReactNode; children: ReactNode }) {
  return (
    <section className="card">
      {title && (
        <div className="card-head">
          <h2>{title}</h2>
          {side}
        </div>
      )}
      {children}
    </section>
  );
}

/** A table that scrolls by itself where it is too wide. label: what its rows are, for those who cannot see it. */
export function Table({ label, children }: { label: string; children: ReactNode }) {
  return (
    <div className="table-wrap" tabIndex={0} role="region" aria-label={label}>
      <table className="table">{children}</table>
    </div>
  );
}

/** The head of a page about one thing: the way back, its name, a badge, and what can be done with it. */
export function PageHead({ back, title, badge, children }: { back: ReactNode; title: string; badge: ReactNode; children?: ReactNode }) {
  return (
    <>
      <div className="crumbs">{back}</div>
      <div className="page-head">
        <div className="buttons">
          <h1>{title}</h1>
          {badge}
        </div>
        {children}
      </div>
    </>
  );
}

export function Empty({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="empty">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function Problem({ error, children }: { error: unknown; children?: ReactNode }) {
  const text = error instanceof Error ? error.message : String(error);
  const code = error instanceof ApiError && error.code !== "HTTP" ? error.code : null;
  return (
    <div className="note bad" role="alert">
      <span>
        {text} {code && <code>{code}</code>}
      </span>
      {children}
    </div>
  );
}

export function Loading({ rows = 4 }: { rows?: number }) {
  return (
    <div className="card-body stack tight" aria-busy="true">
      <span className="hidden-visually">Loading</span>
      {Array.from({ length: rows }, (_, row) => (
        <div key={row} className="skeleton" style={{ width: `${88 - ((row * 17) % 46)}%` }} />
      ))}
    </div>
  );
}

export function Copy({ text, label = "Copy" }: { text: string; label?: string }) {
  const [isDone, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <button type="button" className="button small bare" onClick={() => void copy()} title={label} aria-label={label}>
      {isDone ? "Copied" : <CopyIcon />}
    </button>
  );
}

function CopyIcon() {
  return (
    <svg width="14" height="14" viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.5" aria-hidden="true">
      <rect x="5.500" y="5.500" width="8" height="8" rx="1.500" />
      <path d="M10.500 3v-.5h-8v8H3" />
    </svg>
  );
}

export function Facts({ facts }: { facts: readonly [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value ?? "–"}</dd>
        </div>
      ))}
    </dl>
  );
}
