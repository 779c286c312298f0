/** A program in versioned directories and its definition, for command lines of `rpb service`. */
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { decodeServiceDefinition, type ServiceDefinition } from "../../../src/model/service-definition.ts";
import { type Cli, createCli } from "./cli.ts";

export interface Stage extends Cli {
  readonly binary: string;
  /** Where the definition of `name` is. */
  file(name: string): string;
  stored(name: string): ServiceDefinition;
}

export function program(path: string, text = "#!/bin/sh\nexit 0\n"): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** With version 1.2.0 of one program installed. */
export function stage(t: TestContext): Stage {
  const cli = createCli(t);
  program(join(cli.root, "opt/1.2.0/bin/demod"));
  const file = (name: string): string => join(cli.root, "config/running-process/services", `${name}.servicedef`);
  return {
    ...cli,
    file,
    binary: join(cli.root, "opt/{version}/bin/demod"),
    stored: (name) => decodeServiceDefinition(readFileSync(file(name)), name),
  };
}
