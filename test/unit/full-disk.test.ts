// A disk of 300 kB, which is soon full: what is written there is whole or not at all, and one line says which file it was.

import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { encodeIdxImages, encodeIdxLabels } from '../../engine/datasets/index.ts'
import { writeExport } from '../../models/export/index.ts'
import { writeModelFolder } from '../../models/model-folder.ts'
import { mountSmallDisk, unmountSmallDisk } from '../fixtures/small-disk.ts'
import { makeModel } from '../fixtures/trained-models.ts'
import { writeWholeFile } from '../../command-line/whole-files.ts'

const DISK_BYTES = 300 * 1024
/** Room for names, not for a network. */
const FREE_BYTES = 20 * 1024

const root = mkdtempSync(join(tmpdir(), 'gatehouse-full-disk-'))
const disk = join(root, 'disk')
const model = makeModel()

/** Why there is no such disk, or null. */
const refused = mountSmallDisk(disk, DISK_BYTES)
if (refused !== null) process.stderr.write(`full-disk.test.ts is skipped: ${refused}\n`)

afterAll(() => {
  if (refused === null) unmountSmallDisk(disk)
  rmSync(root, { recursive: true, force: true })
})

async function gatehouse(args: readonly string[]): Promise<{ code: number | null; lines: string[] }> {
  const main = fileURLToPath(new URL('../../gatehouse/main.ts', import.meta.url))
  const child = spawn(process.execPath, [main, ...args], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] })
  let err = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const code = await new Promise<number | null>((done) => child.once('close', done))
  return { code, lines: err.trimEnd().split('\n') }
}

const everything = () => readdirSync(disk, { recursive: true }).map(String).sort()

describe.skipIf(refused !== null)('on a disk that is full', () => {
  beforeEach(() => {
    for (const name of readdirSync(disk)) rmSync(join(disk, name), { recursive: true })
    writeFileSync(join(disk, 'fill'), new Uint8Array(DISK_BYTES - FREE_BYTES))
  })

  it.each(['onnx', 'tfjs', 'safetensors', 'proxylessnas'])('export --format %s leaves nothing and names the file', async (format) => {
    writeModelFolder(join(root, 'model'), model)
    const { code, lines } = await gatehouse(['export', '--model', 'model', '--format', format, '--out', join(disk, 'out')])
    expect(code).toBe(1)
    expect(lines).toEqual([expect.stringMatching(/^gatehouse: cannot write .*\/disk\/out[^ ]*: ENOSPC: no space left on device/)])
    expect(everything()).toEqual(['fill'])
  })

  it('import leaves nothing and names the file', async () => {
    writeExport(model, 'proxylessnas', join(root, 'published'), { fold: true, withPreprocessing: false })
    const from = ['--config', 'published/net.config', '--weights', 'published/state_dict.safetensors', '--input', '28x28']
    const { code, lines } = await gatehouse(['import', ...from, '--mean', '0', '--std', '1', '--out', join(disk, 'back')])
    expect(code).toBe(1)
    expect(lines).toEqual([expect.stringMatching(/^gatehouse: cannot write .*\/disk\/back\/model\.safetensors: ENOSPC/)])
    expect(everything()).toEqual(['fill'])
  })

  it('train says so at its first checkpoint, and leaves none', async () => {
    const data = join(root, 'data')
    mkdirSync(data)
    const labels = Uint8Array.from({ length: 60 }, (_, i) => i % 10)
    for (const name of ['train', 't10k']) {
      const images = Uint8Array.from({ length: 60 * 784 }, (_, i) => (i * 7) % 256)
      writeFileSync(join(data, `${name}-images-idx3-ubyte`), encodeIdxImages({ count: 60, shape: [28, 28, 1], images }))
      writeFileSync(join(data, `${name}-labels-idx1-ubyte`), encodeIdxLabels(labels))
    }
    const flags = ['--space', 'fashion-mini', '--architecture', model.description.architecture, '--threads', '1', '--backend', 'wasm']
    const recipe = ['--set', 'steps=2', '--set', 'batchSize=8']
    const { code, lines } = await gatehouse(['train', '--data', 'data', ...flags, ...recipe, '--out', join(disk, 'trained')])
    expect(lines.at(-1)).toMatch(/^gatehouse: cannot write .*\/disk\/trained\/checkpoint\/checkpoint\.safetensors: ENOSPC/)
    expect(code).toBe(1)
    expect(everything().filter((path) => /safetensors|json/.test(path))).toEqual([])
  })

  it('up says so', async () => {
    const { code, lines } = await gatehouse(['up', '--port', '0', '--state', join(disk, 'state')])
    expect(code).toBe(1)
    expect(lines.at(-1)).toMatch(/^gatehouse: cannot write .*\/disk\/state.*(disk is full|ENOSPC)/)
    expect(lines.filter((line) => /^ +at /.test(line))).toEqual([])
    expect(everything()).toEqual(['fill', 'state', 'state/admin-token'])
  })

  it('what was there before stays', () => {
    const file = join(disk, 'weights.safetensors')
    writeWholeFile(file, 'before')
    expect(() => writeWholeFile(file, new Uint8Array(DISK_BYTES))).toThrow(`cannot write ${file}: ENOSPC`)
    expect(readFileSync(file, 'utf8')).toBe('before')
    expect(everything()).toEqual(['fill', 'weights.safetensors'])
    writeWholeFile(file, 'after')
    expect(readFileSync(file, 'utf8')).toBe('after')
  })
})
