/** Connections and listeners of posix/ on Linux. */
import { connectionsOf } from "../posix/sockets/connection.ts";
import { listenersOf } from "../posix/sockets/listener.ts";
import { linuxSystem } from "./system.ts";

export const createConnection = connectionsOf(linuxSystem);
export const listeners = listenersOf(linuxSystem, createConnection);
