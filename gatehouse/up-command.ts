// `gatehouse up`

import { once } from 'node:events'
import { join } from 'node:path'
import { type CommandDef, defineCommand } from 'citty'
import { isLoopback, jsonFlag, stateFlag, stateFolder } from '../command-line/connection.ts'
import { CliError } from '../command-line/exit-codes.ts'
import { ADMIN_TOKEN_FILE, DEFAULT_PORT } from '../command-line/limits.ts'
import { printResult, type Terminal } from '../command-line/terminal.ts'
import { VERSION } from '../protocol/index.ts'

const MAX_PORT = 65_535

function createUpCommand(terminal: Terminal): CommandDef {
  return defineCommand({
    meta: {
      name: 'up',
      description: 'Run a coordinator on this machine until Ctrl-C: the Worker that would be deployed, with its state on disk.',
    },
    args: {
      port: { type: 'string', valueHint: 'PORT', description: 'port to listen on, 0 for any that is free', default: String(DEFAULT_PORT) },
      host: {
        type: 'string',
        valueHint: 'ADDRESS',
        description: 'address to listen on; 0.0.0.0 lets agents on other machines in, unencrypted',
        default: '127.0.0.1',
      },
      'log-requests': { type: 'boolean', description: 'print a line of JSON for each request (default: only for those that fail)' },
      ...stateFlag,
      ...jsonFlag,
    },
    async run({ args }) {
      const port = parsePort(args.port)
      const folder = stateFolder(terminal, args)
      if (!isLoopback(args.host)) terminal.note(`warning: the coordinator can be reached at ${args.host}, and tokens travel unencrypted`)
      const { startLocalCoordinator } = await import('./local-coordinator.ts')
      const startedAt = performance.now()
      const coordinator = await startLocalCoordinator({
        port,
        host: args.host,
        stateFolder: folder,
        logRequests: args['log-requests'] === true,
        log: terminal.note,
      })
      try {
        const ready = {
          url: coordinator.url,
          version: VERSION,
          stateFolder: folder,
          adminTokenFile: join(folder, ADMIN_TOKEN_FILE),
          pid: process.pid,
        }
        printResult(terminal, args.json === true, ready, () =>
          [
            `coordinator  ${ready.url}  (version ${VERSION}, ready after ${Math.round(performance.now() - startedAt)} ms)`,
            `status page  ${ready.url}/`,
            `state        ${ready.stateFolder}`,
            `admin token  in ${ready.adminTokenFile}`,
            'Ctrl-C stops it; the state stays.',
          ].join('\n'),
        )
        if (!terminal.interrupted.aborted) await once(terminal.interrupted, 'abort')
      } finally {
        await coordinator.stop()
      }
      terminal.note('coordinator stopped')
    },
  }) as CommandDef
}

function parsePort(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port > MAX_PORT) throw new CliError('usage', `expected --port to be 0 to ${MAX_PORT}, got "${text}"`)
  return port
}

export { createUpCommand }
