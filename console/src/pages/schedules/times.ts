/** The times of a schedule in words. */
import cronstrue from "cronstrue";
import type { Schemas } from "../../api/client";

type Spec = Pick<Schemas["ScheduleDefinitionOutput"], "cron_expressions" | "intervals" | "calendars" | "time_zone_name">;

export function timesOf(spec: Spec): string[] {
  const zone = spec.time_zone_name ? ` (${spec.time_zone_name})` : "";
  const crons = spec.cron_expressions.map((one) => `${cronWords(one)}${zone}`);
  const intervals = spec.intervals.map((one) => `Every ${durationWords(String(one.every))}`);
  const calendars = spec.calendars.length ? [`${spec.calendars.length} calendar${spec.calendars.length > 1 ? "s" : ""}${zone}`] : [];
  return [...crons, ...intervals, ...calendars];
}

export function cronWords(expression: string): string {
  try {
    return cronstrue.toString(expression, { use24HourTimeFormat: true });
  } catch {
    return expression;
  }
}

/** An ISO duration in words: PT1H30M is 1 h 30 min. */
export function durationWords(iso: string): string {
  const match = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?$/.exec(iso);
  if (!match) return iso;
  const units = ["d", "h", "min", "s"];
  const parts = match.slice(1).flatMap((value, index) => (value && Number(value) ? [`${value} ${units[index]}`] : []));
  return parts.join(" ") || iso;
}
