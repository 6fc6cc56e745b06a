import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as z from 'zod'

import { coverSpace } from '../../latency-lut/table/coverage.ts'
import { createLatencyLut, epilogues } from '../../latency-lut/profiler/cli/commands.ts'
import { type LatencyTable, latencyTableSchema } from '../../latency-lut/table/table.ts'
import { createSpace } from '../../search-space/index.ts'
import { buildKernels } from '../../engine/kernels/build.ts'
import { runCommand } from '../fixtures/command.ts'

const main = fileURLToPath(new URL('../../latency-lut/profiler/cli/main.ts', import.meta.url))
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
  const { code, out, err } = await runCommand((terminal) => createLatencyLut(terminal, '0.0.0'), epilogues, args, { folder })
  return { code, stdout: out, stderr: err }
}

describe('latency-lut', () => {
  test('profile writes over an earlier table, and over nothing else: the file of its space has the name that it would take', async () => {
    await write('mine.json', spaceRef)
    const refused = await latencyLut('profile', '--space', '@mine.json', '--name', 'mine', '--budget', '1')
    expect(refused.code).toBe(2)
    expect(refused.stderr).toContain('mine.json is there, and is no latency table')
    expect(JSON.parse(await readFile(join(folder, 'mine.json'), 'utf8'))).toEqual(spaceRef)
    await write('other.json', makeTable())
    const flags = ['--space', '@mine.json', '--name', 'other', '--budget', '0.2']
    expect(await latencyLut('profile', ...flags)).toMatchObject({ code: 0 })
    expect(latencyTableSchema.parse(JSON.parse(await readFile(join(folder, 'other.json'), 'utf8'))).name).toBe('other')
  })

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

  test('profile --correct writes how much longer whole networks take into the table', async () => {
    await write('wide.json', { preset: 'fashion-mini', name: 'wide', stages: [{ width: 16, cells: 2, stride: 2 }] })
    const flags = ['--space', '@wide.json', '--budget', '1', '--batch', '2', '--name', 'corrected-wide', '--correct']
    expect(await latencyLut('profile', ...flags, '--check', '4')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('expected --check 5 or more with --correct, got 4'),
    })
    const { code, stdout } = await latencyLut('profile', ...flags, '--check', '8')
    expect(code).toBe(0)
    expect(stdout).toMatch(/Corrected: -?\d\S* ms \+ \d+\.\d{4} times the sum, which leaves .* % of the networks/)
    const { correction } = latencyTableSchema.parse(JSON.parse(await readFile(join(folder, 'corrected-wide.json'), 'utf8')))
    expect(correction).toMatchObject({ networks: 8 })
    expect(correction?.factor).toBeGreaterThan(0)
  })

  test('validate reports on the networks held out, plots all, and stores the correction', async () => {
    await write('wide.json', { preset: 'fashion-mini', name: 'wide', stages: [{ width: 16, cells: 2, stride: 2 }] })
    const flags = ['--space', '@wide.json', '--budget', '1', '--batch', '2', '--runtime', 'onnxruntime']
    expect(await latencyLut('profile', ...flags, '--name', 'wide-table')).toMatchObject({ code: 0 })
    const wide = ['--space', '@wide.json', '--table', 'wide-table.json', '--networks', '12', '--budget', '1']
    const { code, stdout, stderr } = await latencyLut('validate', ...wide, '--plot', 'wide.png', '--store', '--json')
    expect({ code, stderr }).toMatchObject({ code: 0 })
    const result = JSON.parse(stdout) as { measured: { half: string; architecture: string }[]; correction: { factor: number } }
    expect(result).toMatchObject({
      table: 'wide-table',
      runtime: 'onnxruntime',
      batch: 2,
      networks: 6,
      rmseMs: expect.any(Number),
      mapePct: expect.any(Number),
      pearson: expect.any(Number),
      kendall: expect.any(Number),
      within5Pct: expect.any(Number),
      within10Pct: expect.any(Number),
      before: { networks: 6 },
      after: { networks: 6 },
      correction: { networks: 6 },
    })
    expect(new Set(result.measured.map(({ architecture }) => architecture)).size).toBe(12)
    expect(result.measured.filter(({ half }) => half === 'held out')).toHaveLength(6)
    const table = latencyTableSchema.parse(JSON.parse(await readFile(join(folder, 'wide-table.json'), 'utf8')))
    expect(table.correction).toEqual(result.correction)
    expect((await readFile(join(folder, 'wide.png'))).subarray(1, 4).toString()).toBe('PNG')
    expect((await inProcess('show', 'wide-table.json')).stdout).toMatch(/corrected .* times the sum, fitted to 6 networks/)
    expect(await inProcess('validate', ...wide, '--runtime', 'tfjs-wasm')).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('table wide-table was measured in onnxruntime, not in tfjs-wasm'),
    })
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
      runtime: 'tfjs-wasm',
      meanMs: expect.any(Number),
      stdMs: expect.any(Number),
      count: expect.any(Number),
    })
  })

  test('measure --table says how far a prediction is off, and how much slower the machine is than it was', async () => {
    const network = ['--space', '@space.json', '--architecture', 'tiny:mb3k3']
    expect(await latencyLut('profile', '--space', '@space.json', '--budget', '1', '--name', 'before')).toMatchObject({ code: 0 })
    const before = latencyTableSchema.parse(JSON.parse(await readFile(join(folder, 'before.json'), 'utf8')))
    // As a machine that was four times as fast would have measured it.
    const entries = Object.fromEntries(Object.entries(before.entries).map(([key, entry]) => [key, { ...entry, meanMs: entry.meanMs / 4 }]))
    await writeFile(join(folder, 'faster.json'), JSON.stringify({ ...before, fixedMs: before.fixedMs / 4, entries }))
    const { code, stdout } = await latencyLut('measure', ...network, '--table', 'faster.json', '--budget', '2', '--json')
    expect(code).toBe(0)
    const beside = z.record(z.string(), z.unknown()).parse(JSON.parse(stdout)) as Record<string, number>
    expect(beside['pace']).toBeCloseTo((beside['predictedNowMs'] as number) / (beside['predictedMs'] as number), 9)
    expect(beside['pace']).toBeGreaterThan(1.5)
    expect(beside['measuredAtPaceMs']).toBeCloseTo((beside['measuredMs'] as number) / (beside['pace'] as number), 9)
    // What networks take beside their operations is no matter of the machine's speed.
    const correction = { offsetMs: 5, factor: 3, networks: 5 }
    await writeFile(join(folder, 'corrected.json'), JSON.stringify({ ...before, correction }))
    const again = await latencyLut('measure', ...network, '--table', 'corrected.json', '--budget', '2', '--json')
    const corrected = z.record(z.string(), z.unknown()).parse(JSON.parse(again.stdout)) as Record<string, number>
    expect(corrected['predictedMs']).toBeGreaterThan(correction.offsetMs)
    expect(corrected['pace']).toBeGreaterThan(0.4)
    expect(corrected['pace']).toBeLessThan(2.5)
    const text = await latencyLut('measure', ...network, '--table', 'faster.json', '--budget', '1')
    expect(text.stdout).toMatch(/measured .* ms; its operations in the same rounds .* ms\n {2}predicted .* ms by the table/)
    expect(text.stdout).toMatch(/warning: operations take \d+\.\d\d times as long as when the table was measured/)
    expect(await latencyLut('measure', ...network, '--table', 'missing.json')).toMatchObject({ code: 2 })
  })

  test('an interrupted profile ends with 130, writes no table, and goes on where it stopped', async () => {
    const flags = ['profile', '--space', '@space.json', '--precision', '0.000001', '--name', 'late']
    const child = spawn(process.execPath, [main, ...flags, '--budget', '60'], { cwd: folder })
    child.stderr.on('data', (text: Buffer) => {
      // Time for some rounds; a SIGINT before the first leaves nothing to go on from.
      if (text.includes('measuring')) setTimeout(() => child.kill('SIGINT'), 1500)
    })
    const [code] = (await once(child, 'exit')) as [number | null]
    expect(code).toBe(130)
    await expect(readFile(join(folder, 'late.json'))).rejects.toThrow('ENOENT')
    const part = JSON.parse(await readFile(join(folder, 'late.json.part'), 'utf8')) as { rounds: number[][]; spentMs: number }
    expect(part.rounds.length).toBeGreaterThan(0)

    const other = await latencyLut(...flags, '--resume', '--batch', '2')
    expect(other).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/late\.json\.part was begun under other conditions[^]*batch: it was 8, now it is 2/),
    })

    const { code: resumed, stderr } = await latencyLut(...flags, '--resume', '--budget', String(part.spentMs / 1000 + 0.3))
    expect({ resumed, stderr }).toEqual({ resumed: 0, stderr: expect.stringContaining(`going on after ${part.rounds.length} rounds`) })
    const { quality } = latencyTableSchema.parse(JSON.parse(await readFile(join(folder, 'late.json'), 'utf8')))
    expect(quality?.rounds).toBeGreaterThanOrEqual(part.rounds.length)
    await expect(readFile(join(folder, 'late.json.part'))).rejects.toThrow('ENOENT')
  })

  test('a table from a machine that did other things is shown with a warning', async () => {
    const quality = { rounds: 30, halfWidthPct: 8.2, worstHalfWidthPct: 31, droppedPct: 12, driftPct: 3, waitedPct: 80 }
    await write('noisy.json', { ...makeTable(), quality })
    const { stdout } = await inProcess('show', 'noisy.json')
    expect(stdout).toContain('30 rounds, known to ±8.2 % (the worst to ±31.0 %), 12.0 % of the runs dropped, drift 3.0 %, waited 80.0 %')
    expect(stdout).toMatch(
      /warning {3}half of the figures are known to no better than ±8\.2 %; others had the processor 80\.0 % of the time/,
    )
    await write('calm.json', { ...makeTable(), quality: { ...quality, halfWidthPct: 1, waitedPct: 2 } })
    expect((await inProcess('show', 'calm.json')).stdout).not.toContain('warning')
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

  test('show --space prints a chart per block and what architectures come to', async () => {
    const { code, stdout } = await inProcess('show', 'table.json', '--space', '@space.json')
    expect(code).toBe(0)
    const latency = coverSpace(space, makeTable())
    if (latency.kind !== 'covered') throw new Error('not covered')
    expect(stdout).toContain(`tiny: ${latency.latency.fixedMs.toFixed(2)} ms in every architecture`)
    expect(stdout).toMatch(/largest {2}[\d.]+ ms/)
    expect(stdout).toMatch(/stage1\.1 {2}14x14x8 to 7x7x16/)
    expect(stdout).toMatch(/mb3k3 {2}5\.000 {2}█+/)
    await write('less.json', { ...makeTable(), entries: { 'Conv-input:1x1x1-output:1x1x1': { meanMs: 1, stdMs: 0, count: 1 } } })
    expect(await inProcess('show', 'less.json', '--space', '@space.json')).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/does not cover tiny\n {2}.*: missing/),
    })
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

  const described = ['--name', 'made-up', '--device', 'paper', '--runtime', 'pencil', '--batch', '1', '--input-shape', '28x28x1']

  test.each(['yaml', 'csv', 'json'])('a table that is exported as %s and imported again is the same', async (format) => {
    const { code, stderr } = await inProcess('export', 'table.json', '--out', `out.${format}`)
    expect(code).toBe(0)
    expect(await inProcess('import', `out.${format}`, '--out', 'back.json', ...(format === 'json' ? [] : described))).toMatchObject({
      code: 0,
    })
    expect(JSON.parse(await readFile(join(folder, 'back.json'), 'utf8'))).toEqual(makeTable())
    if (format !== 'json') expect(stderr).toContain(`latency-lut import out.${format} ${described.join(' ')}`)
    const { stdout } = await inProcess('export', 'table.json', '--format', format)
    expect(stdout).toBe(await readFile(join(folder, `out.${format}`), 'utf8'))
  })

  test('import asks for everything that the file does not say', async () => {
    await inProcess('export', 'table.json', '--out', 'asks.yaml')
    const { code, stderr } = await inProcess('import', 'asks.yaml', '--name', 'made-up')
    expect(code).toBe(2)
    for (const flag of ['device', 'runtime', 'batch', 'input-shape']) expect(stderr).toContain(`--${flag}:`)
    expect(stderr).not.toContain('--name:')
  })

  test('import names the line and the key of what is wrong', async () => {
    await writeFile(join(folder, 'wrong.yaml'), 'Conv-input:28x28x1-output:14x14x8:\n  {count: 1, mean: -1, std: 0}\n')
    expect(await inProcess('import', 'wrong.yaml', ...described)).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringMatching(
        /wrong\.yaml is not a latency table in YAML\n {2}line 1: mean: .*\(Conv-input:28x28x1-output:14x14x8\)/,
      ),
    })
  })

  test('diff says which keys only one has, and the ratio of each other and of all', async () => {
    const table = makeTable()
    const [first = '', ...rest] = Object.entries(table.entries).map(([key]) => key)
    const twice = rest.map((key) => [key, { meanMs: 2 * (table.entries[key]?.meanMs ?? 0), stdMs: 0, count: 1 }])
    await write('slow.json', {
      ...table,
      name: 'slow',
      entries: Object.fromEntries([...twice, ['Extra-input:1', { meanMs: 1, stdMs: 0, count: 1 }]]),
    })
    const { code, stdout } = await inProcess('diff', 'table.json', 'slow.json', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      onlyInA: [first],
      onlyInB: ['Extra-input:1'],
      common: rest.map((key) => ({ key, ratio: 2 })),
      overall: { ratio: 2, typicalRatio: expect.closeTo(2, 9) },
    })
    const text = await inProcess('diff', 'table.json', 'slow.json')
    for (const part of [`${rest.length} keys in both, 1 only in made-up, 1 only in slow`, 'ratio 2.000', first, 'Extra-input:1'])
      expect(text.stdout).toContain(part)
  })

  /** fashion-mini, each operation as slow as it is large. */
  async function writeWholeTable(name: string, without: (index: number) => boolean): Promise<string[]> {
    const operations = createSpace('fashion-mini').measurableOperations()
    const entries = operations.map(({ latencyKey, macs }) => [latencyKey, { meanMs: 0.01 + macs / 1e7, stdMs: 0.01, count: 7 }] as const)
    const kept = entries.filter((_, index) => !without(index))
    await write(name, { ...makeTable(), entries: Object.fromEntries(kept) })
    return entries.filter((_, index) => without(index)).map(([key]) => key)
  }

  test('predict fills what a table lacks, marked, and says how good F is', async () => {
    const missing = await writeWholeTable('lacks.json', (index) => index % 10 === 9)
    const before = await inProcess('coverage', '--space', 'fashion-mini', '--table', 'lacks.json', '--json')
    expect(before.code).toBe(1)
    expect(JSON.parse(before.stdout)).toMatchObject({ missing, predictable: missing })
    const { code, stdout } = await inProcess('predict', '--table', 'lacks.json', '--space', 'fashion-mini', '--out', 'filled.json')
    expect(code).toBe(0)
    expect(stdout).toMatch(/expanded_conv +\d+ +10 +[\d.]+ +[\d.]+ %/)
    expect(stdout).toContain('4 of the 4 missing keys of fashion-mini predicted')
    const after = await inProcess('coverage', '--space', 'fashion-mini', '--table', 'filled.json')
    expect(after.code).toBe(0)
    for (const key of missing) expect(after.stdout).toMatch(new RegExp(`predicted +[\\d.]+ +${key}`))
    expect((await inProcess('show', 'filled.json')).stdout).toContain('predicted 4 of the entries')
  })

  test('predict writes nothing and ends with 1 where a key cannot be predicted', async () => {
    const [stem = ''] = await writeWholeTable('stemless.json', (index) => index === 0)
    const { code, stdout } = await inProcess('predict', '--table', 'stemless.json', '--space', 'fashion-mini', '--out', 'never.json')
    expect(code).toBe(1)
    expect(stdout).toContain(stem)
    expect(stdout).toContain('0 measured entries of type Conv; expected 5 at least')
    await expect(readFile(join(folder, 'never.json'))).rejects.toThrow('ENOENT')
  })

  test('predict --holdout reports the error on the entries held out', async () => {
    await writeWholeTable('whole.json', () => false)
    const { code, stdout } = await inProcess('predict', '--table', 'whole.json', '--holdout', '10', '--json')
    expect(code).toBe(0)
    const { entries, mapePct, rmseMs } = JSON.parse(stdout) as {
      entries: { predictedMs: number; measuredMs: number }[]
      mapePct: number
      rmseMs: number
    }
    expect(entries).toHaveLength(4)
    const errors = entries.map(({ predictedMs, measuredMs }) => Math.abs(predictedMs - measuredMs) / measuredMs)
    expect(mapePct).toBeCloseTo((100 * errors.reduce((sum, error) => sum + error, 0)) / 4, 9)
    expect(rmseMs).toBeGreaterThan(0)
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
    [[], /needs a command: profile, measure, validate, show/],
    [['shwo'], /unknown command "shwo".*show/],
    [['show'], /FILE/i],
    [['show', 'a.json', 'b.json'], /unexpected argument "b\.json"/],
    [['show', 'a.json', '--colour'], /unknown flag --colour/],
    [['profile', '--space', 'fashion-mini', '--bacth', '1'], /unknown flag --bacth/],
    [['profile', '--space', 'fashion-mini', '--batch', '1.5'], /--batch to be a whole number from 1/],
    [['profile', '--space', 'fashion-mini', '--budget', 'soon'], /--budget to be a number above 0/],
    [['profile', '--space', 'fashion-mini', '--batch'], /--batch needs a value/],
    [
      ['profile', '--space', 'cifar'],
      /expected --space to be proxyless-mobile, fashion-mini, mobilenet-v2, nas-bench-macro, nas-bench-201, cell-mini, fbnetv2-f, fbnetv2-f-fine, fp-nas-l0, fbnetv2-mini, darts, darts-cifar10, darts-mini, densenet-40-12, densenet-100-12, densenet-bc-100-12, sparsenet-40-24, sparsenet-100-24, sparsenet-100-36, sparsenet-100-16-32-64, sparsenet-bc-100-24, residual-40-16-32-64, aggregation-40-24, aggregation-mini, proxyless-cifar, tree-mini or @FILE, got "cifar"/,
    ],
    [['profile', '--space', '@table.json'], /table\.json/],
    [['profile', '--space', 'fashion-mini', '--runtime', 'abacus'], /runtime/],
    [['profile', '--space', 'fashion-mini', '--threads', '0'], /--threads to be a whole number from 1/],
    [['profile', '--space', 'fashion-mini', '--precision', '-1'], /--precision to be a number above 0/],
    [['profile', '--space', 'fashion-mini', '--resume', '--json'], /--resume needs --out/],
    [['profile'], /space/],
    [['import', 'table.txt'], /table\.txt ends in none of .yaml, .yml, .csv, .json: say the format with --format/],
    [['import', 'table.json', '--input-shape', '28x28'], /--input-shape to be height x width x channels/],
    [['import', 'table.json', '--name', 'UPPER'], /--name: expected lower-case letters/],
    [['import', 'table.json', '--fixed-ms', '-1'], /--fixed-ms to be milliseconds from 0/],
    [['export', 'table.json'], /no file is named: say the format with --format/],
    [['diff', 'table.json'], /B/],
    [['predict', '--table', 'table.json', '--holdout', '1'], /--holdout to be a whole number from 2/],
    [['predict', '--table', 'table.json', '--holdout', '10', '--out', 'x.json'], /goes without --space and --out/],
    [['predict', '--table', 'table.json', '--out', 'x.json'], /--out needs --space/],
    [
      ['validate', '--space', '@space.json', '--table', 'table.json'],
      /table made-up was measured in pencil, which cannot be measured here/,
    ],
    [['validate', '--space', 'fashion-mini', '--table', 'table.json'], /table made-up does not cover fashion-mini\n {2}.*: missing/],
    [['validate', '--space', '@space.json', '--table', 'table.json', '--networks', '3'], /--networks to be a whole number from 4/],
    [['validate', '--space', '@space.json', '--table', 'table.json', '--plot', 'x.jpg'], /--plot to end in .svg or .png, got "x.jpg"/],
    [['validate', '--space', '@space.json', '--table', 'table.json', '--store', '--out', 'x'], /give one/],
    [['pull', 'a@b'], /NAME@VERSION/],
    [['measure', '--space', 'fashion-mini', '--architecture', 'fashion-mini:mb3k5'], /expected 6 options/],
    [['list', '--token', 't', '--coordinator', 'ftp://x'], /--coordinator to be an address/],
  ])('%j is wrong usage', async (args, message) => {
    const { code, stdout, stderr } = await inProcess(...args)
    expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: expect.stringMatching(message) })
  })

  test('a coordinator that is not there is a failure that says where it was looked for', async () => {
    expect(await latencyLut('publish', 'table.json', '--token', 't', '--coordinator', 'http://127.0.0.1:9')).toMatchObject({
      code: 5,
      stderr: expect.stringMatching(/http:\/\/127\.0\.0\.1:9/),
    })
  })

  test('without a token for a coordinator on this machine says where one was looked for', async () => {
    expect(await inProcess('list', '--state', 'nobody-here')).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/nobody-here\/admin-token is not there.*GATEHOUSE_TOKEN/),
    })
  })

  test('--help of a command lists its flags', async () => {
    const { code, stdout } = await inProcess('profile', '--help')
    expect(code).toBe(0)
    expect(stdout).toContain('--budget')
  })
})
