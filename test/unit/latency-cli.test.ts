import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

import { runCommandLine } from '../../command-line/program.ts'
import type { Terminal } from '../../command-line/terminal.ts'
import { createLatencyLut, epilogues } from '../../latency-lut/node/commands.ts'
import { type LatencyTable, latencyTableSchema } from '../../latency-lut/table.ts'
import { createSpace } from '../../search-space/index.ts'
import { buildKernels } from '../../worker-agent/kernels/build.ts'

const main = fileURLToPath(new URL('../../latency-lut/node/main.ts', import.meta.url))
const spaceRef = {
  preset: 'fashion-mini',
  name: 'tiny',
  stages: [{ width: 16, cells: 1, stride: 2 }],
  kernels: [3],
  expansions: [3],
} as const
const space = createSpace({ ...spaceRef, stages: [...spaceRef.stages], kernels: [3], expansions: [3] })

type Outcome = { code: number; stdout: string; stderr: string }

let folder: string
beforeAll(async () => {
  await buildKernels()
  folder = await mkdtemp(join(tmpdir(), 'latency-cli-'))
  await write('space.json', spaceRef)
  await write('table.json', makeTable())
}, 60_000)
afterAll(() => rm(folder, { recursive: true, force: true }))

function makeTable(): LatencyTable {
  const entries = Object.fromEntries(
    space.measurableOperations().map(({ latencyKey }, index) => [latencyKey, { meanMs: index + 1, stdMs: 0.1, count: 7 }]),
  )
  return latencyTableSchema.parse({
    name: 'made-up',
    device: { name: 'paper' },
    runtime: { name: 'pencil' },
    inputShape: [28, 28, 1],
    entries,
  })
}

function write(name: string, value: unknown): Promise<void> {
  return writeFile(join(folder, name), JSON.stringify(value))
}

/** Runs the command as a process of its own, in the test's folder. */
function latencyLut(...args: string[]): Promise<Outcome> {
  const { GATEHOUSE_TOKEN: _, GATEHOUSE_COORDINATOR: __, ...env } = process.env
  return new Promise((resolve) => {
    execFile(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], { cwd: folder, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

/** The same command line within this process, for what ends before anything is measured. */
async function inProcess(...args: string[]): Promise<Outcome> {
  const outcome = { stdout: '', stderr: '' }
  const terminal: Terminal = {
    env: {},
    folder,
    isInteractive: false,
    interrupted: new AbortController().signal,
    columns: () => 100,
    rows: () => 50,
    write: (text) => void (outcome.stdout += text),
    note: (line) => void (outcome.stderr += `${line}\n`),
  }
  const code = await runCommandLine(createLatencyLut(terminal, '0.0.0'), terminal, args, epilogues)
  return { code, ...outcome }
}

describe('latency-lut', () => {
  test('profile --json prints the table and nothing else, which then covers the space', async () => {
    const { code, stdout, stderr } = await latencyLut(
      'profile',
      '--space',
      '@space.json',
      '--json',
      '--budget',
      '0.3',
      '--batch',
      '2',
      '--name',
      'here',
      '--out',
      'here.json',
      '--check',
      '2',
    )
    expect({ code, stderr }).toMatchObject({ code: 0 })
    const table = latencyTableSchema.parse(JSON.parse(stdout))
    expect(table).toMatchObject({ name: 'here', batch: 2 })
    expect(JSON.parse(await readFile(join(folder, 'here.json'), 'utf8'))).toEqual(table)
    expect(stderr).toContain('whole networks')
    expect(await latencyLut('coverage', '--space', '@space.json', '--table', 'here.json')).toMatchObject({ code: 0 })
  })

  test('measure --json prints the latency of one network', async () => {
    const architecture = 'tiny:mb3k3'
    const { code, stdout } = await latencyLut(
      'measure',
      '--space',
      '@space.json',
      '--architecture',
      architecture,
      '--budget',
      '0.3',
      '--json',
    )
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toEqual({
      architecture,
      batch: 8,
      meanMs: expect.any(Number),
      stdMs: expect.any(Number),
      count: expect.any(Number),
    })
  })

  test('an interrupted profile ends with 130 and writes nothing', async () => {
    const child = spawn(process.execPath, [main, 'profile', '--space', '@space.json', '--budget', '60', '--name', 'never'], { cwd: folder })
    child.stderr.on('data', (text: Buffer) => {
      if (text.includes('measuring')) child.kill('SIGINT')
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    expect(code).toBe(130)
    await expect(readFile(join(folder, 'never.json'))).rejects.toThrow('ENOENT')
  })

  test('show prints totals, the slowest operation and a bar for each operation of a place', async () => {
    const { code, stdout } = await latencyLut('show', 'table.json')
    expect(code).toBe(0)
    expect(stdout).toContain('device    paper')
    expect(stdout).toContain('14x14x8 to 7x7x16, stride 2')
    expect(stdout).toMatch(/expand 3 kernel 3 {2}5\.000 {2}█+/)
    const json = await inProcess('show', 'table.json', '--json')
    expect(JSON.parse(json.stdout)).toEqual(makeTable())
  })

  test('coverage names what is missing and then ends with 1', async () => {
    const whole = await latencyLut('coverage', '--space', '@space.json', '--table', 'table.json')
    expect(whole).toMatchObject({ code: 0 })
    const table = makeTable()
    const [first = '', ...rest] = Object.keys(table.entries)
    await write('holes.json', { ...table, entries: Object.fromEntries(rest.map((key) => [key, table.entries[key]])) })
    const { code, stdout } = await latencyLut('coverage', '--space', '@space.json', '--table', 'holes.json')
    expect(code).toBe(1)
    expect(stdout).toMatch(new RegExp(`MISSING +${first}`))
    const json = await latencyLut('coverage', '--space', '@space.json', '--table', 'holes.json', '--json')
    expect(JSON.parse(json.stdout)).toMatchObject({ isCovered: false, missing: [first] })
  })

  test('a bad table is refused with the file and the fields', async () => {
    await write('bad.json', { ...makeTable(), batch: 0, entries: { key: { meanMs: -1, stdMs: 0, count: 1, mode: 2 } } })
    const { code, stdout, stderr } = await latencyLut('show', 'bad.json')
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    for (const part of ['bad.json', 'batch:', 'entries.key.meanMs:', 'entries.key.mode: unknown field']) expect(stderr).toContain(part)
    await writeFile(join(folder, 'cut.json'), '{"name": "cu')
    expect(await inProcess('show', 'cut.json')).toMatchObject({ code: 2, stderr: expect.stringMatching(/cut\.json is not JSON/) })
    expect(await inProcess('show', 'nowhere.json')).toMatchObject({ code: 2, stderr: expect.stringMatching(/nowhere\.json.*ENOENT/) })
  })

  test.each<[string[], RegExp]>([
    [[], /needs a command: profile, measure, show/],
    [['shwo'], /unknown command "shwo".*show/],
    [['show'], /FILE/i],
    [['show', 'a.json', 'b.json'], /unexpected argument "b\.json"/],
    [['show', 'a.json', '--colour'], /unknown flag --colour/],
    [['profile', '--space', 'fashion-mini', '--bacth', '1'], /unknown flag --bacth/],
    [['profile', '--space', 'fashion-mini', '--batch', '1.5'], /--batch to be a whole number from 1/],
    [['profile', '--space', 'fashion-mini', '--budget', 'soon'], /--budget to be a number above 0/],
    [['profile', '--space', 'fashion-mini', '--batch'], /--batch needs a value/],
    [['profile', '--space', 'cifar'], /expected --space to be proxyless-mobile, fashion-mini or @FILE, got "cifar"/],
    [['profile', '--space', '@table.json'], /table\.json/],
    [['profile', '--space', 'fashion-mini', '--backend', 'abacus'], /backend/],
    [['profile'], /space/],
    [['pull', 'a@b'], /NAME@VERSION/],
    [['measure', '--space', 'fashion-mini', '--architecture', 'fashion-mini:mb3k5'], /expected 6 operations/],
    [['list'], /GATEHOUSE_TOKEN/],
    [['list', '--token', 't', '--coordinator', 'ftp://x'], /--coordinator to be an address/],
  ])('%j is wrong usage', async (args, message) => {
    const { code, stdout, stderr } = await inProcess(...args)
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(message) })
  })

  test('a coordinator that is not there is a failure that says where it was looked for', async () => {
    expect(await latencyLut('publish', 'table.json', '--token', 't', '--coordinator', 'http://127.0.0.1:9')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/http:\/\/127\.0\.0\.1:9/),
    })
  })

  test('--help of a command lists its flags', async () => {
    const { code, stdout } = await inProcess('profile', '--help')
    expect(code).toBe(0)
    expect(stdout).toContain('--budget')
  })
})
