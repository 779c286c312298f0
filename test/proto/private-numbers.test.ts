/**
 * Guards against a number of ours in the range that the reference counts up (it took verb 21, ours were 22 and 23), and
 * against one of the reference's that changes or goes into ours.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { type Declaration, frozenSchema } from "../../scripts/frozen-schema.ts";
import { CAPABILITY, formatCapabilities } from "../../src/wire/capabilities.ts";
import { AdminVerb } from "../../src/wire/messages.ts";
import { PAYLOAD_PROTOCOL, REGISTERED_CONSUMERS } from "../../src/wire/payload-protocol.ts";
import { MOVED_VERBS, PRIVATE_CAPABILITY_BITS, PRIVATE_NUMBERS } from "../../src/wire/private-numbers.ts";

type Range = readonly [first: number, last: number];

interface Reference {
  readonly declarations: Record<string, { members: Record<string, number>; reserved: Range[] }>;
  readonly capability_bits: Record<string, number>;
  readonly payload_protocols: Record<string, number>;
  readonly registered_consumers: Record<string, number>;
}

const reference = JSON.parse(
  readFileSync(new URL("../fixtures/reference-numbers.json", import.meta.url), "utf8"),
) as Reference;
const schema = frozenSchema();

function isPrivate(number: number): boolean {
  return number >= PRIVATE_NUMBERS.first && number <= PRIVATE_NUMBERS.last;
}

function numbersOf(members: Declaration["members"]): Record<string, number> {
  return Object.fromEntries(members.map(({ name, number }) => [name, number]));
}

test("the frozen package declares the reference's messages and enums, and none of ours", () => {
  const names = schema.map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(names.sort(), Object.keys(reference.declarations).sort());
});

test("below the private range lie exactly the reference's fields and values, under their names, and above it nothing", () => {
  for (const { name, members } of schema)
    assert.deepEqual(
      numbersOf(members.filter(({ number }) => !isPrivate(number))),
      reference.declarations[name]?.members,
      `${name}: a number that is not the reference's belongs into ${PRIVATE_NUMBERS.first} to ${PRIVATE_NUMBERS.last}`,
    );
});

test("no number of the reference, nor one that it has reserved, lies in the private range", () => {
  for (const [name, { members, reserved }] of Object.entries(reference.declarations))
    for (const number of [...Object.values(members), ...reserved.flat()])
      assert.ok(!isPrivate(number), `${name} has ${number}`);
});

test("every number of the private range is taken by us or reserved, in every message and enum", () => {
  for (const { name, members, reserved } of schema) {
    const inRange = reserved.filter(([first, last]) => isPrivate(first) || isPrivate(last));
    const free: number[] = [];
    for (let number: number = PRIVATE_NUMBERS.first; number <= PRIVATE_NUMBERS.last; number++)
      if (!members.some((member) => member.number === number)) free.push(number);
    const covered = inRange.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, i) => first + i));
    assert.deepEqual(covered, free, name);
    const others = reserved.filter((range) => !inRange.includes(range));
    assert.deepEqual(others, reference.declarations[name]?.reserved, `${name}: what the reference reserves`);
  }
});

test("our capability bits lie in their range, one bit each, and the reference's does not", () => {
  const { first, last } = PRIVATE_CAPABILITY_BITS;
  const bits = Object.values(CAPABILITY).map((bit) => {
    const position = bit.toString(2).length - 1;
    assert.equal(bit, 1n << BigInt(position));
    return [/\[(.*)\]/.exec(formatCapabilities(bit))?.[1] ?? "", position] as const;
  });
  const theirs = bits.filter(([, bit]) => bit < first || bit > last);
  assert.deepEqual(Object.fromEntries(theirs), reference.capability_bits);
  assert.equal(new Set(bits.map(([, bit]) => bit)).size, bits.length);
  // A client's bit, which the design fixes.
  assert.equal(CAPABILITY.handoffDirect, 1n << 32n);
});

test("there is no payload protocol of ours: both lists are the reference's", () => {
  assert.deepEqual({ ...PAYLOAD_PROTOCOL }, reference.payload_protocols);
  assert.deepEqual({ ...REGISTERED_CONSUMERS }, reference.registered_consumers);
});

test("verbs that have moved are ours, and their old numbers are outside of the range and mean nothing", () => {
  assert.deepEqual([...MOVED_VERBS.keys()], [22, 23]);
  for (const [old, now] of MOVED_VERBS) {
    assert.ok(!isPrivate(old) && AdminVerb[old] === undefined, String(old));
    assert.ok(isPrivate(now) && AdminVerb[now] !== undefined, String(now));
  }
});
