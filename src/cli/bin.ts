#!/usr/bin/env node
/** The executable, dist/cli.js; the only module that does something when it is loaded. */
import { EXIT } from './command';
import { CHILD, processIo } from './io';
import { main } from './main';

// A reader that has seen enough, such as `head`, is no error.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0);
    throw error;
  });

// One of several processes of a job ends with the one that started it.
if (process.env[CHILD] !== undefined)
  process.stdin
    .on('end', () => process.exit(EXIT.interrupted))
    .resume()
    .unref();

// Set rather than called, so that what was written is flushed first.
void main(process.argv.slice(2), processIo()).then((code) => {
  process.exitCode = code;
});
