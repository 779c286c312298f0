/** What the command lines take of the broker beyond its public entry. Nothing else of `broker/` is for others. */
export { type AdminSources, answerAdmin } from "./admin/admin-route.ts";
export type { BrokerSnapshot } from "./admin/broker-snapshot.ts";
export { diagnose } from "./admin/diagnose.ts";
export { createEventFold } from "./events/event-fold.ts";
export { createBrokerMetrics } from "./events/metrics.ts";
export { recordRow } from "./events/record-kinds.ts";
export { resolveBinary } from "./launch/resolve-binary.ts";
export { serveOnce } from "./serve-once.ts";
export type { SuccessorCommand } from "./succession/successor.ts";
