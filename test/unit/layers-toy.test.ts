// A kind of layer that the project does not have is added as docs/architecture.md says: where a place is forgotten the compiler
// says so, with all of them it runs, and no file but those that the page names changes.

import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { describe, expect, test } from 'vitest'

import { toyFiles, toyKind, toyLines } from '../fixtures/toy-layer.ts'

const root = join(import.meta.dirname, '../..')

/** Every file of the toy as it would be, by path from the root. */
function withToy(): Map<string, string> {
  const changed = new Map(Object.entries(toyFiles))
  for (const [path, add] of Object.entries(toyLines)) changed.set(path, add(readFileSync(join(root, path), 'utf8')))
  return changed
}

/** All that knows kinds of layers, and what uses it. */
const roots = [
  'engine/executor/index.ts',
  'engine/scores/path-flow.ts',
  'models/export/index.ts',
  'latency-lut/profiler/runtimes/onnxruntime.ts',
  'search-space/index.ts',
  'test/unit/layers-reference.ts',
]

type Compiled = { readonly program: ts.Program; readonly replaced: ReadonlyMap<string, string> }

/** Compiles the project with some files replaced; what has not changed is taken from `before`. */
function compile(replaced: ReadonlyMap<string, string>, before?: Compiled): Compiled & { errors: Map<string, string> } {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (path) => readFileSync(path, 'utf8'))
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const host = ts.createCompilerHost(options)
  const contentOf = (path: string) => replaced.get(relative(root, path))
  const sources = new Map<string, ts.SourceFile>()
  const replacing: ts.CompilerHost = {
    ...host,
    fileExists: (path) => contentOf(path) !== undefined || host.fileExists(path),
    readFile: (path) => contentOf(path) ?? host.readFile(path),
    getSourceFile(path, languageVersion) {
      const isAsBefore = before?.replaced.get(relative(root, path)) === contentOf(path)
      const known = sources.get(path) ?? (isAsBefore ? before?.program.getSourceFile(path) : undefined)
      if (known) return known
      const text = contentOf(path) ?? host.readFile(path)
      const made = text === undefined ? undefined : ts.createSourceFile(path, text, languageVersion, true)
      if (made) sources.set(path, made)
      return made
    },
  }
  const program = ts.createProgram(
    roots.map((path) => join(root, path)),
    options,
    replacing,
    before?.program,
  )
  const errors = new Map<string, string>()
  for (const { file, messageText } of ts.getPreEmitDiagnostics(program)) {
    const path = file ? relative(root, file.fileName) : ''
    errors.set(path, `${errors.get(path) ?? ''}${ts.flattenDiagnosticMessageText(messageText, '\n')}\n`)
  }
  return { program, replaced, errors }
}

/** Trains the toy's scale behind a convolution, holds its gradient against finite differences, and writes it as ONNX. */
const script = `
import { openBackend } from './engine/backends/backends.ts'
import { createWeights, evaluate, foldBatchNorm, trainStep } from './engine/executor/index.ts'
import { layerExamples, layerWeights, weightKeys } from './search-space/index.ts'
import { writeOnnx } from './onnx/write-graph.ts'
import * as tf from '@tensorflow/tfjs-core'

const { chosen } = await openBackend('wasm')
const [{ layer, inputs: [shape] }] = layerExamples('${toyKind}')
const conv = { kind: 'conv2d', id: 'x0', input: 'image', kernel: 1, stride: 1, filter: 'filter', shape }
const graph = { layers: [{ kind: 'input', id: 'image', shape }, conv, layer] }
const specs = [conv, layer].flatMap((each) => Object.values(layerWeights(each, [shape])))
const weights = createWeights(chosen, specs, 1)
const images = tf.randomNormal([2, ...shape], 0, 1, 'float32', 1)
const input = { graph, weights, images, labels: Int32Array.of(1, 7) }
const { gradients } = await trainStep(input)
const analytic = gradients.get('scale').dataSync()[2]
const lossAt = async (scale) => { weights.write('scale', Float32Array.of(1, 1, scale, 1, 1)); return (await evaluate(input)).loss }
const numeric = ((await lossAt(1.01)) - (await lossAt(0.99))) / 0.02
const values = new Map(specs.map(({ key, shape: of }) => [key, new Float32Array(of.reduce((a, b) => a * b))]))
const bytes = writeOnnx(foldBatchNorm(graph, (key) => values.get(key)), { name: 'toy', batch: 1 })
process.stdout.write(JSON.stringify({ analytic, numeric, keys: weightKeys(graph), hasMul: Buffer.from(bytes).includes('Mul') }))
`

describe('a new kind of layer', () => {
  test('is asked for by the compiler in every table where it is forgotten, by name, and nowhere else', { timeout: 120_000 }, () => {
    const all = withToy()
    const whole = compile(all)
    expect(Object.fromEntries(whole.errors)).toEqual({})

    const tables = Object.keys(toyLines).filter((path) => !path.startsWith('search-space/layers/'))
    const forgotten = new Map([...all].filter(([path]) => !tables.includes(path)))
    const { errors } = compile(forgotten, whole)
    expect([...errors.keys()].sort()).toEqual(tables.sort())
    for (const message of errors.values()) expect(message).toContain(`Property '${toyKind}' is missing`)
  })

  test('is in the folders that docs/architecture.md names, and in no other', () => {
    const page = readFileSync(join(root, 'docs/architecture.md'), 'utf8')
    const paragraph = page.slice(page.indexOf('**A new kind of layer**'), page.indexOf("## A task's way"))
    const named = new Set(paragraph.match(/(?<=`)[\w./-]+(?=`)/g))
    for (const path of withToy().keys()) {
      const isNamed = named.has(path) || named.has(`${dirname(path)}/`)
      expect({ path, isNamed }).toMatchObject({ isNamed: true })
    }
  })

  test('trains, with the gradient of finite differences, and is exported', async () => {
    const copy = mkdtempSync(join(tmpdir(), 'gatehouse-toy-layer-'))
    try {
      for (const folder of ['search-space', 'protocol', 'engine', 'onnx', 'dist/kernels']) {
        cpSync(join(root, folder), join(copy, folder), { recursive: true })
      }
      cpSync(join(root, 'package.json'), join(copy, 'package.json'))
      symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
      for (const [path, content] of withToy()) {
        mkdirSync(dirname(join(copy, path)), { recursive: true })
        writeFileSync(join(copy, path), content)
      }
      writeFileSync(join(copy, 'toy.ts'), script)
      const { stdout } = await promisify(execFile)(process.execPath, [join(copy, 'toy.ts')], { cwd: copy })
      const { analytic, numeric, keys, hasMul } = JSON.parse(stdout) as Record<string, unknown>
      expect(analytic).toBeCloseTo(numeric as number, 3)
      expect(Math.abs(analytic as number)).toBeGreaterThan(1e-2)
      expect({ keys, hasMul }).toEqual({ keys: ['filter', 'scale'], hasMul: true })
    } finally {
      rmSync(copy, { recursive: true, force: true })
    }
  })
})
