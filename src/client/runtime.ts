/**
 * What a call needs once it is sure to go to a broker. It is loaded as one file, the other one of the client: how many
 * files there are costs a short-lived process more than how long they are.
 */
export { loadPlatform } from "../platform/platform.ts";
export { connectWith } from "./connect-with.ts";
export { createSession, pipelinedBytes } from "./session.ts";
