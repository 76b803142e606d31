/** The side bar with the way to each page, and who is signed in. */
import { useQueryClient } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { useEffect, useState } from "react";
import { Link, useLocation } from "wouter";
import { setKey, useSession } from "../api/session";
import { useWho } from "../api/who";
import { THEMES, applyTheme, chosenTheme } from "./theme";
import type { Theme } from "./theme";
import { ZONE } from "./time";

const PAGES: readonly [string, string, string][] = [
  ["/", "Home", "M2.500 7.500 8 3l5.500 4.500V13h-4V9.500h-3V13h-4z"],
  ["/executions", "Executions", "M3 4h10M3 8h10M3 12h6"],
  ["/inbox", "Inbox", "M2.500 9 4.500 3h7l2 6v4h-11zM2.500 9H6l1 1.500h2L10 9h3.500"],
  ["/workflows", "Workflows", "M3 3h4v4H3zM9 9h4v4H9zM5 7v4h4"],
  ["/schedules", "Schedules", "M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11zM8 5v3.200l2 1.300"],
  ["/batches", "Batch jobs", "M3 5h7M3 8h7M3 11h4M12 9.500v4M10 11.500l2 2 2-2"],
  ["/deployments", "Workers", "M3 3h10v4H3zM3 9h10v4H3zM5.500 5h.01M5.500 11h.01"],
  ["/history-file", "History file", "M4 2.500h5l3 3v8H4zM9 2.500v3h3"],
];

export function Shell({ children }: { children: ReactNode }) {
  const [path] = useLocation();
  const [isOpen, setOpen] = useState(false);
  useEffect(() => setOpen(false), [path]);
  return (
    <div className="shell">
      <button type="button" className="skip button" onClick={() => document.getElementById("main")?.focus()}>
        Skip to the content
      </button>
      <header className="side" data-open={isOpen}>
        <Link href="/" className="brand">
          <img src="./icon.svg" alt="" />
          Levante
        </Link>
        <button
          type="button"
          className="button small menu-button"
          aria-expanded={isOpen}
          aria-controls="nav"
          onClick={() => setOpen(!isOpen)}
        >
          Menu
        </button>
        <nav className="nav" id="nav" aria-label="Pages">
          {PAGES.map(([href, name, icon]) => (
            <Link key={href} href={href} aria-current={isAt(path, href) ? "page" : undefined}>
              <svg width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinejoin="round" strokeLinecap="round" aria-hidden="true">
                <path d={icon} />
              </svg>
              {name}
            </Link>
          ))}
        </nav>
        <Foot />
      </header>
      <main className="main" id="main" tabIndex={-1}>
        {children}
      </main>
    </div>
  );
}

function isAt(path: string, href: string): boolean {
  return href === "/" ? path === "/" : path === href || path.startsWith(`${href}/`);
}

function Foot() {
  const who = useWho();
  const { key } = useSession();
  const queries = useQueryClient();
  const signOut = () => {
    setKey(null);
    queries.clear(); // whoever signs in next sees nothing of this
  };
  const [theme, setTheme] = useState<Theme>(chosenTheme);
  const choose = (chosen: Theme) => {
    applyTheme(chosen);
    setTheme(chosen);
  };
  return (
    <div className="side-foot">
      <div>Times in {ZONE}</div>
      <label className="side-row">
        Theme
        <select className="select" style={{ width: "auto" }} value={theme} onChange={(event) => choose(event.target.value as Theme)}>
          {THEMES.map((one) => (
            <option key={one} value={one}>
              {one[0]?.toUpperCase() + one.slice(1)}
            </option>
          ))}
        </select>
      </label>
      {key && (
        <div className="side-row">
          <span title={`Workspace ${who.workspace}`}>{who.role ? `Role ${who.role}` : "Signed in"}</span>
          <button type="button" className="button small" onClick={signOut}>
            Sign out
          </button>
        </div>
      )}
    </div>
  );
}
