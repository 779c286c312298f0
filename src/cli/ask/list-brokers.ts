/** The sockets on which brokers of this user listen, or once did. */
import { endpointPath, runtimeDirectory } from "../../model/places.ts";
import type { CliContext } from "../shell/context.ts";

/**
 * Paths of the user's broker sockets, sorted; backends' are left out.
 *
 * @throws BrokerError DIRECTORY_INSECURE, IO_FAILED
 */
export async function listBrokers(context: CliContext): Promise<readonly string[]> {
  const { files, host } = await context.platform();
  const directory = runtimeDirectory(context.places);
  if (directory === undefined || !files.checkConnectDirectory(directory)) return [];
  const name = new RegExp(`^rpb-v1-${host.userHash()}-(shared|svc-[a-z0-9-]+|inst-[a-z0-9-]+)\\.sock$`);
  // A socket whose leaf is a hash has a link with its name beside it.
  return files
    .list(directory)
    .filter((file) => name.test(file))
    .map((file) => endpointPath(context.places, file.slice(0, -".sock".length)))
    .filter((path) => files.facts(path) !== undefined);
}
