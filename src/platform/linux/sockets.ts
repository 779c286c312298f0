/** Connections and listeners of posix/ on Linux. */
import { connectionsOf } from "../posix/connection.ts";
import { listenersOf } from "../posix/listener.ts";
import { linuxSystem } from "./system.ts";

export const createConnection = connectionsOf(linuxSystem);
export const listeners = listenersOf(linuxSystem, createConnection);
