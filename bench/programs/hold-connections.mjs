// Opens many connections and says nothing on them. Task: { path, connections }.
import { dial, socketAddress } from "../lean/libc.mjs";

const { path, connections } = JSON.parse(process.argv[2]);
const address = socketAddress(path);
for (let opened = 0; opened < connections; opened++) dial(address);
process.stdout.write("ready\n");
setInterval(() => {}, 2 ** 30);
