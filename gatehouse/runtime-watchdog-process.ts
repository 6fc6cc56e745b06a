// Run as a program: reads process numbers from standard input, one a line, and kills the last one when the input ends.
// "0" means that there is none to kill.

import { createInterface } from 'node:readline'

let watched = 0
createInterface({ input: process.stdin })
  .on('line', (line) => {
    watched = Number(line)
  })
  .on('close', () => {
    try {
      if (watched > 0) process.kill(watched, 'SIGKILL')
    } catch {
      // It had ended by itself.
    }
  })
