/** A history of any length: only the rows in sight are in the page. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useMemo, useRef, useState } from "react";
import { Empty } from "../../ui/parts";
import { JsonView } from "../../ui/json-view";
import { clockTime, exactTime } from "../../ui/time";
import { FailureView } from "./failure";
import type { Json } from "../../api/json";
import { GROUPS, filtered, namesOf, subjectOf, titleOf, toneOf } from "./events";
import type { HistoryEvent } from "./events";

const ROW_PIXELS = 37;

export function History({ events, side }: { events: readonly HistoryEvent[]; side?: React.ReactNode }) {
  const [group, setGroup] = useState("");
  const [text, setText] = useState("");
  const wanted = useDeferredValue(text);
  const names = useMemo(() => namesOf(events), [events]);
  const shown = useMemo(() => filtered(events, group, wanted, names), [events, group, wanted, names]);
  return (
    <section className="card">
      <div className="card-head">
        <div className="filters" style={{ flex: 1 }}>
          <input
            className="input"
            type="search"
            aria-label="Search the history"
            placeholder="Name, error or value"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
          <select className="select" aria-label="Kind of event" value={group} onChange={(event) => setGroup(event.target.value)}>
            {GROUPS.map(([key, name]) => (
              <option key={key} value={key}>
                {name}
              </option>
            ))}
          </select>
          <span className="quiet small number" role="status">
            {shown.length === events.length ? `${events.length.toLocaleString()} events` : `${shown.length.toLocaleString()} of ${events.length.toLocaleString()}`}
          </span>
        </div>
        {side}
      </div>
      {shown.length === 0 ? <Empty title="No event matches" /> : <Rows events={shown} names={names} />}
    </section>
  );
}

function Rows({ events, names }: { events: readonly HistoryEvent[]; names: ReadonlyMap<number, string> }) {
  const scroller = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState<ReadonlySet<number>>(new Set());
  const rows = useVirtualizer({
    count: events.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => ROW_PIXELS,
    getItemKey: (index) => events[index]?.event_id ?? index,
    overscan: 12,
  });
  const toggle = (id: number) => {
    const next = new Set(open);
    if (!next.delete(id)) next.add(id);
    setOpen(next);
  };
  return (
    <div className="history" ref={scroller} tabIndex={0} role="region" aria-label="Events">
      <div className="history-inner" style={{ height: rows.getTotalSize() }}>
        {rows.getVirtualItems().map((row) => {
          const event = events[row.index];
          if (!event) return null;
          return (
            <div key={row.key} ref={rows.measureElement} data-index={row.index} className="history-row" style={{ transform: `translateY(${row.start}px)` }}>
              <Row event={event} names={names} isOpen={open.has(event.event_id)} onToggle={() => toggle(event.event_id)} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

interface RowProps {
  event: HistoryEvent;
  names: ReadonlyMap<number, string>;
  isOpen: boolean;
  onToggle: () => void;
}

function Row({ event, names, isOpen, onToggle }: RowProps) {
  const { kind, event_id, recorded_at, ...rest } = event;
  return (
    <>
      <button type="button" className="history-line" aria-expanded={isOpen} onClick={onToggle}>
        <span className="quiet number">{event_id}</span>
        <span className={`kind ${toneOf(kind)}`}>{titleOf(kind)}</span>
        <span className="quiet number when" title={exactTime(recorded_at)}>
          {clockTime(recorded_at)}
        </span>
        <span className="truncate what">{subjectOf(event, names)}</span>
      </button>
      {isOpen && (
        <div className="history-more stack tight">
          {"failure" in event && event.failure && <FailureView failure={event.failure} />}
          <JsonView value={rest as Json} label={`Event ${event_id}`} />
        </div>
      )}
    </>
  );
}
