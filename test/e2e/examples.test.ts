// The commands of examples/README.md, as they are written there, with fewer steps.

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Coordinator, freePort, startCoordinator, startProcess, temporaryFolder } from './harness.ts'

const page = readFileSync(new URL('../../examples/README.md', import.meta.url), 'utf8')
const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { scripts: Record<string, string> }

/** The page's commands stand for this folder, where a reader has `.gatehouse`. */
const folder = temporaryFolder()
let coordinator: Coordinator

/** What makes a command short, by how it begins. */
const shorter: Readonly<Record<string, string>> = {
  'latency-lut profile': '--budget 1',
  'gatehouse search create':
    '--steps 40 --batch 8 --set strategy.warmupSteps=20 --set strategy.evaluateImages=64 --set tasks.weightSteps=20',
  'gatehouse data check': '--cache .gatehouse/datasets',
  'worker-agent': '--backend wasm --concurrency 1 --cache .gatehouse/datasets',
}
const shorterReinforce = '--set strategy.samples=2 --set strategy.images=16'

/** The commands below a heading, each from `npm run` on. */
function commandsOf(heading: string): string[] {
  const section = page.split('\n## ').find((text) => text.startsWith(`${heading}\n`))
  const commands = section?.match(/^npm run .+$/gm)
  if (!commands) throw new Error(`examples/README.md has no commands below "${heading}"`)
  return commands
}

/** Runs the commands one after the other, as a reader would; returns what the last one printed. */
async function runAll(commands: readonly string[], more: Readonly<Record<string, string>> = shorter): Promise<string> {
  let token = ''
  let output = ''
  for (const command of commands) {
    const [, name = '', flags = ''] = /^npm run (\S+) -- (.+)$/.exec(command) ?? []
    const script = scripts[name]?.replace(/^node /, '')
    if (script === undefined) throw new Error(`package.json has no script for: ${command}`)
    const extra = Object.entries(more).find(([start]) => `${name} ${flags}`.startsWith(start))?.[1] ?? ''
    const args = `${flags} ${extra}`.trim().replaceAll('.gatehouse', folder.path).replace('gha.…', token).split(' ')
    const process = startProcess(script, args, {
      GATEHOUSE_COORDINATOR: coordinator.url,
      GATEHOUSE_STATE: `${folder.path}/state`,
    })
    expect(await process.ended, `${command}\n${process.output()}`).toBe(0)
    output = process.output()
    token = /gha\.[\w.-]+/.exec(output)?.[0] ?? token
  }
  return output
}

async function newestSearch() {
  const newest = (await coordinator.client.listSearches()).members[0]
  if (newest === undefined) throw new Error('no search was created')
  return coordinator.client.searchStatus(newest.searchId)
}

beforeAll(async () => {
  coordinator = await startCoordinator(`${folder.path}/state`, await freePort())
})
afterAll(async () => {
  await coordinator.stop()
  folder.remove()
})

// In the order of the page: the second search uses the table of the first.
describe('the commands of examples/README.md', () => {
  it('search on Fashion-MNIST by gradients', async () => {
    expect(await runAll(commandsOf('Fashion-MNIST, by gradients'))).toContain('fashion-mini:')
    expect(await newestSearch()).toMatchObject({ phase: 'finished', config: { name: 'example: Fashion-MNIST' } })
  })

  it('search on Fashion-MNIST by rewards', async () => {
    const create = `${shorter['gatehouse search create']} ${shorterReinforce}`
    const printed = await runAll(commandsOf('Fashion-MNIST, by rewards'), { ...shorter, 'gatehouse search create': create })
    expect(printed).toContain('fashion-mini:')
    expect(await newestSearch()).toMatchObject({ phase: 'finished', config: { strategy: { name: 'proxyless-r' } } })
  })

  it("search on one's own images, in a space that lists its operations", async () => {
    expect(await runAll(commandsOf('Your own images'))).toContain('shapes:')
    expect(await newestSearch()).toMatchObject({ phase: 'finished', config: { dataset: { name: 'shapes' } } })
  })
})
