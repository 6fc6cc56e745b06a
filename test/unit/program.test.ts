import { setTimeout as sleep } from 'node:timers/promises'
import { type CommandDef, defineCommand } from 'citty'
import { expect, it } from 'vitest'
import type { Terminal } from '../../command-line/terminal.ts'
import { runCommand } from '../fixtures/command.ts'

const LONG_MS = 60_000

const sleeps = (signalOf: (terminal: Terminal) => AbortSignal) => (terminal: Terminal) =>
  defineCommand({ meta: { name: 'sleeps' }, run: () => sleep(LONG_MS, undefined, { signal: signalOf(terminal) }) }) as CommandDef

it("a command that is interrupted in one of Node's timers has not failed; one that another signal has ended there has", async () => {
  const controller = new AbortController()
  const terminal = { interrupted: controller.signal }
  setTimeout(() => controller.abort(new Error('interrupted')), 20)
  const interrupted = await runCommand(
    sleeps((of) => of.interrupted),
    {},
    [],
    terminal,
  )
  expect(interrupted).toEqual({ code: 130, out: '', err: '' })
  const other = AbortSignal.abort(new Error('other'))
  const failed = await runCommand(
    sleeps(() => other),
    {},
    [],
    terminal,
  )
  expect(failed).toMatchObject({ code: 1, err: expect.stringContaining('unexpected failure: AbortError') })
})
