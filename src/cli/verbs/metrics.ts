/** `rpb metrics`: what a broker has counted and measures, for people, programs and collectors. */

import { type Command, Option } from "commander";
import { BrokerError } from "../../base/errors.ts";
import { jsonLine } from "../../base/printable.ts";
import { strictOpenMetrics } from "../../model/open-metrics.ts";
import { parseOpenMetrics } from "../../model/parse-open-metrics.ts";
import { AdminVerb } from "../../wire/messages.ts";
import { type AdminVerbOptions, addAdminOptions, SELECTS_ONE } from "../ask/admin-verb.ts";
import { askBroker } from "../ask/ask-broker.ts";
import { PERMISSIONS } from "../ask/permissions.ts";
import { selectBroker } from "../ask/select-broker.ts";
import type { CliContext } from "../shell/context.ts";
import { metricsLines } from "../text/metrics-text.ts";

interface MetricsOptions extends AdminVerbOptions {
  readonly openmetrics?: boolean;
}

const HELP = `
--openmetrics prints the text of OpenMetrics 1.0 for collectors, such as a textfile collector. Starts nothing.
${SELECTS_ONE}

Examples:
  rpb metrics
  rpb metrics --service demo --openmetrics > /var/lib/node_exporter/demo.prom`;

export function register(program: Command, context: CliContext): void {
  addAdminOptions(program.command("metrics").description("Show what a broker has counted and measures."))
    .addOption(new Option("--openmetrics", "OpenMetrics text for collectors").conflicts("json"))
    .addHelpText("after", HELP)
    .action((options: MetricsOptions) => context.run(() => metrics(context, options), options));
}

async function metrics(context: CliContext, options: MetricsOptions): Promise<number> {
  const endpoint = await selectBroker(context, options);
  const query = { verb: AdminVerb.METRICS };
  const answer = await askBroker(context, PERMISSIONS.metrics, endpoint, query, {
    ...(options.timeout !== undefined && { timeoutMs: options.timeout }),
  });
  const families = parseOpenMetrics(answer.body);
  if (families === undefined)
    throw new BrokerError(
      "MESSAGE_MALFORMED",
      `the broker on ${endpoint} answered something that is no OpenMetrics text`,
      {
        details: { path: endpoint },
      },
    );
  if (options.openmetrics) context.io.document(strictOpenMetrics(answer.body));
  else if (options.json) context.io.out(jsonLine({ families }));
  else context.io.out(metricsLines(families));
  return answer.exitCode;
}
