import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { startCommand } from '../../command-line/child-commands.ts'

const WAITS = 'test/fixtures/waiting-command.ts'

describe('a command of this process', () => {
  it('is ended with it, and its result is the reason', async () => {
    const controller = new AbortController()
    const { child, result } = startCommand(WAITS, [], { interrupted: controller.signal })
    if (child.stderr) await once(child.stderr, 'data')
    const reason = new Error('enough')
    controller.abort(reason)
    await expect(result).rejects.toBe(reason)
    expect(child.signalCode).toBe('SIGTERM')
    expect(() => startCommand(WAITS, [], { interrupted: controller.signal })).toThrow(reason)
  })

  it('that fails says what it said', async () => {
    const { child, result } = startCommand(WAITS, ['now'])
    child.stderr?.once('data', () => child.kill('SIGKILL'))
    await expect(result).rejects.toThrow(/waiting-command\.ts now ended with SIGKILL:\nwaits/)
  })
})
