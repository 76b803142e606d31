/** What took how long, one line each; stretches in which nothing was done are cut short and marked. */
import { useMemo } from "react";
import { Empty } from "../../ui/parts";
import { duration, exactTime, useNow } from "../../ui/time";
import type { HistoryEvent } from "./events";
import { scaleOf, spansOf } from "./spans";
import type { Scale, Span } from "./spans";

const MOST_LINES = 150;
/** Of the width, for a label. */
const ROOM = 25;

export function Timeline({ events, endedAt }: { events: readonly HistoryEvent[]; endedAt: string | null }) {
  const spans = useMemo(() => spansOf(events), [events]);
  const now = useNow();
  const first = events[0] ? Date.parse(events[0].recorded_at) : now;
  const last = endedAt ? Date.parse(endedAt) : Math.max(now, first + 1);
  const shown = useMemo(() => spans.slice(0, MOST_LINES), [spans]);
  const scale = useMemo(() => scaleOf(spans, first, last, shown), [spans, shown, first, last]);
  if (spans.length === 0)
    return (
      <Empty title="Nothing has taken time yet">
        <p>Activities, timers, children and messages of this run appear here.</p>
      </Empty>
    );
  return (
    <div className="card-body">
      <div className="timeline" role="list">
        {shown.map((span) => (
          <Line key={span.key} span={span} scale={scale} last={last} />
        ))}
        <div />
        <div className="timeline-axis number">
          <span className="first" style={{ left: 0 }}>
            {exactTime(new Date(first).toISOString())}
          </span>
          <span className="last" style={{ left: "100%" }}>
            {duration(last - first)}
          </span>
        </div>
      </div>
      {spans.length > MOST_LINES && <p className="quiet small">The first {MOST_LINES} of {spans.length}; the history has all.</p>}
    </div>
  );
}

/** A label stands where there is room: right of its bar, left of it, or inside. */
function besides(from: number, to: number) {
  if (to <= 100 - ROOM) return { left: `${to}%` };
  return from >= ROOM ? { right: `${100 - from}%`, paddingRight: 6 } : { left: `${from}%` };
}

function Line({ span, scale, last }: { span: Span; scale: Scale; last: number }) {
  const from = scale.at(span.start);
  const to = scale.at(span.end ?? last);
  const tries = span.end !== undefined && span.attempts > 1 ? `, ${span.attempts} attempts` : "";
  const lasted = `${duration((span.end ?? last) - span.start)}${tries}`;
  return (
    <>
      <div className="timeline-name" title={`${span.kind} ${span.name}`} role="listitem">
        {span.name} <span className="hidden-visually">{lasted}</span>
      </div>
      <div className="timeline-track" aria-hidden="true">
        {scale.gaps.map((gap) => (
          <div key={gap.from} className="timeline-gap" title={`${duration(gap.milliseconds)} idle`} style={{ left: `${gap.from}%`, width: `${gap.to - gap.from}%` }} />
        ))}
        <div
          className={`timeline-bar ${span.tone} ${span.end === undefined ? "open" : ""}`}
          style={{ left: `${from}%`, width: `${Math.max(to - from, 0)}%` }}
          title={`${span.name}: ${lasted}`}
        />
        <div className={`timeline-label number ${from < ROOM && to > 100 - ROOM ? "inside" : ""}`} style={besides(from, to)}>
          {span.kind === "message" ? "" : lasted}
        </div>
      </div>
    </>
  );
}
