import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { agentIdSchema } from '../../protocol/index.ts'
import { claimAgentId } from '../../worker-agent/agent/agent-id.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'agent-id-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const claim = (name = 'host') => claimAgentId(folder, 's00000000000a', name)
/** Moves what this process has claimed to one that is not alive any more. */
function dies(host = hostname()): void {
  const { pid } = spawnSync('true')
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.lock')))
    writeFileSync(join(folder, file), JSON.stringify({ process: { pid, startedAt: null }, host }))
}
const claimElsewhere = () => {
  const script = `import { claimAgentId } from ${JSON.stringify(join(import.meta.dirname, '../../worker-agent/agent/agent-id.ts'))}
    console.log(claimAgentId(process.argv[1], 's00000000000a', 'host'))`
  const again = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script, folder], { encoding: 'utf8' })
  return again.stdout.trim() || again.stderr
}

it('an agent that is started again has the id that it had; others that run at the same time have their own', () => {
  const first = claim()
  expect(agentIdSchema.parse(first)).toBe(first)
  expect(claim()).not.toBe(first)
  expect(claim('other')).not.toBe(first)
  // On another machine, which shares the folder, it may be alive.
  dies('another machine')
  expect(claimElsewhere()).not.toBe(first)
  dies()
  expect(claimElsewhere()).toBe(first)
})

it('where nothing can be written, the agent has an id all the same', () => {
  writeFileSync(join(folder, 'file'), '')
  const id = claimAgentId(join(folder, 'file'), 's00000000000a', 'host')
  expect(agentIdSchema.parse(id)).toBe(id)
})

it('a file that is damaged is replaced', () => {
  const first = claim()
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) writeFileSync(join(folder, file), '{')
  expect(agentIdSchema.parse(claim('other'))).not.toBe(first)
})
