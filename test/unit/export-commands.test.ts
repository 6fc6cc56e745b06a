// `gatehouse export` and `gatehouse import`, as a person calls them.

import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readModelFolder, writeModelFolder } from '../../models/model-folder.ts'
import { architectureCosts, createSpace, type FixedNetwork, fixedNetworkSchema, spaceRefSchema } from '../../search-space/index.ts'
import { makeModel } from '../fixtures/trained-models.ts'
import { readSafetensors } from '../fixtures/read-safetensors.ts'
import { runGatehouse } from '../fixtures/command.ts'

const model = makeModel({ space: { preset: 'fashion-mini', input: [20, 24, 3] } })
let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-export-cli-'))
  writeModelFolder(join(folder, 'model'), model)
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const gatehouse = (args: readonly string[]) => runGatehouse(args, { folder, rows: () => 40 })

const exportTo = (format: string, out: string, ...more: readonly string[]) =>
  gatehouse(['export', '--model', 'model', '--format', format, '--out', out, ...more])

describe('gatehouse export', () => {
  test.each([
    ['onnx', 'net.onnx', ['net.onnx']],
    ['tfjs', 'web', ['web/model.json', 'web/group1-shard1of1.bin']],
    ['safetensors', 'deep/weights.safetensors', ['deep/weights.safetensors']],
    ['proxylessnas', 'published', ['published/net.config', 'published/state_dict.safetensors']],
    ['json', 'architecture.json', ['architecture.json']],
  ])('--format %s writes and names its files', async (format, out, files) => {
    const result = await exportTo(format, out, '--json')
    expect(result).toMatchObject({ code: 0, err: '' })
    const paths = files.map((file) => join(folder, file))
    expect(JSON.parse(result.out)).toEqual({ format, files: paths.map((path) => ({ path, bytes: statSync(path).size })) })
  })

  test('a model with numbers that are not finite is neither written nor exported', async () => {
    const [gamma, { mean, variance }] = [...model.statistics][0] as [string, { mean: Float32Array; variance: Float32Array }]
    const negative = new Map([...model.statistics, [gamma, { mean, variance: variance.with(3, -1) }]])
    expect(() => writeModelFolder(join(folder, 'negative'), { ...model, statistics: negative })).toThrow(
      'tensor stem/conv/conv.variance: element 3 is -1, expected a variance, 0 or above',
    )
    const filter = 'classifier/conv/linear.weights'
    const { shape, values } = model.weights.get(filter) as { shape: readonly number[]; values: Float32Array }
    const weights = new Map([...model.weights, [filter, { shape, values: values.with(5, Number.NaN) }]])
    expect(() => writeModelFolder(join(folder, 'nan'), { ...model, weights })).toThrow(`tensor ${filter}: element 5 is NaN`)
    expect([existsSync(join(folder, 'negative')), existsSync(join(folder, 'nan'))]).toEqual([false, false])

    writeModelFolder(join(folder, 'spoilt'), model)
    const file = join(folder, 'spoilt/model.safetensors')
    const bytes = readFileSync(file)
    const header = JSON.parse(bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE(0))).toString('utf8')) as Record<
      string,
      { data_offsets: number[] }
    >
    bytes.writeFloatLE(Number.NaN, 8 + Number(bytes.readBigUInt64LE(0)) + (header[filter]?.data_offsets[0] as number))
    writeFileSync(file, bytes)
    for (const format of ['onnx', 'tfjs', 'safetensors', 'proxylessnas', 'json']) {
      const result = await gatehouse(['export', '--model', 'spoilt', '--format', format, '--out', 'spoilt-out'])
      expect(result).toMatchObject({ code: 2, err: `gatehouse: ${file}: tensor ${filter}: element 0 is NaN, expected a finite number\n` })
    }
    expect(existsSync(join(folder, 'spoilt-out'))).toBe(false)
  })

  test('--no-fold keeps batch-norms', async () => {
    await exportTo('onnx', 'kept.onnx', '--no-fold')
    await exportTo('onnx', 'folded.onnx')
    expect(readFileSync(join(folder, 'kept.onnx')).includes('BatchNormalization')).toBe(true)
    expect(readFileSync(join(folder, 'folded.onnx')).includes('BatchNormalization')).toBe(false)
  })

  test('an ONNX file says what must be done to images', async () => {
    await exportTo('onnx', 'said.onnx')
    const bytes = readFileSync(join(folder, 'said.onnx'))
    for (const text of ['NCHW', '[0.25,0.35,0.45]', '"class 9"', model.description.architecture]) expect(bytes.includes(text)).toBe(true)
  })

  test('the document of an architecture adds up, and its network can be built', async () => {
    await exportTo('json', 'document.json')
    const document = JSON.parse(readFileSync(join(folder, 'document.json'), 'utf8')) as {
      macs: number
      parameters: number
      network: FixedNetwork
      parts: { part: string; operation: string; macs: number; parameters: number; output: number[]; latencyKey: string | null }[]
    }
    const sum = (field: 'macs' | 'parameters') => document.parts.reduce((total, part) => total + part[field], 0)
    expect({ macs: sum('macs'), parameters: sum('parameters') }).toEqual(architectureCosts(model.space, model.path))
    expect(document.parts.map(({ part }) => part)).toEqual([
      'stem',
      'first',
      ...model.space.decisions.map(({ name }) => name),
      'head',
      'classifier',
    ])
    const keys = new Set(model.space.measurableOperations().map(({ latencyKey }) => latencyKey))
    for (const { latencyKey, operation } of document.parts)
      expect(latencyKey === null ? operation === 'zero' : keys.has(latencyKey)).toBe(true)
    const network = createSpace(fixedNetworkSchema.parse(document.network))
    expect(
      architectureCosts(
        network,
        network.decisions.map(() => 0),
      ),
    ).toEqual(architectureCosts(model.space, model.path))
  })

  test('weights in the published form have the names, shapes and layouts of its authors', async () => {
    await exportTo('proxylessnas', 'names')
    const { tensors } = readSafetensors(readFileSync(join(folder, 'names/state_dict.safetensors')))
    const norm = (name: string, channels: number) => [
      [`${name}.bn.weight`, [channels]],
      [`${name}.bn.bias`, [channels]],
      [`${name}.bn.running_mean`, [channels]],
      [`${name}.bn.running_var`, [channels]],
      [`${name}.bn.num_batches_tracked`, []],
    ]
    // fashion-mini:mb3k5,zero,mb6k3,mb3k7,mb6k5,mb6k7 behind a stem of 16 and an MBConv1 of 8 channels.
    const blocks: readonly (readonly [inputs: number, expansion: number, kernel: number, outputs: number] | null)[] = [
      [16, 1, 3, 8],
      [8, 3, 5, 16],
      null,
      [16, 6, 3, 24],
      [24, 3, 7, 24],
      [24, 6, 5, 32],
      [32, 6, 7, 32],
    ]
    const expected = [
      ['first_conv.conv.weight', [16, 3, 3, 3]],
      ...norm('first_conv', 16),
      ...blocks.flatMap((block, index) => {
        if (!block) return []
        const [inputs, expansion, kernel, outputs] = block
        const hidden = inputs * expansion
        const name = `blocks.${index}.mobile_inverted_conv`
        return [
          ...(expansion > 1
            ? [[`${name}.inverted_bottleneck.conv.weight`, [hidden, inputs, 1, 1]], ...norm(`${name}.inverted_bottleneck`, hidden)]
            : []),
          [`${name}.depth_conv.conv.weight`, [hidden, 1, kernel, kernel]],
          ...norm(`${name}.depth_conv`, hidden),
          [`${name}.point_linear.conv.weight`, [outputs, hidden, 1, 1]],
          ...norm(`${name}.point_linear`, outputs),
        ]
      }),
      ['feature_mix_layer.conv.weight', [64, 32, 1, 1]],
      ...norm('feature_mix_layer', 64),
      ['classifier.linear.weight', [10, 64]],
      ['classifier.linear.bias', [10]],
    ]
    const byName = (a: unknown[], b: unknown[]) => (String(a[0]) < String(b[0]) ? -1 : 1)
    expect([...tensors].map(([name, { shape }]) => [name, shape]).sort(byName)).toEqual(expected.sort(byName))
    const stem = model.weights.get('stem/conv/conv.filter')?.values
    // Row 1, column 2, input 0, output 5 of [3, 3, 3, 16].
    expect(tensors.get('first_conv.conv.weight')?.values[5 * 27 + 1 * 3 + 2]).toBe(stem?.[(1 * 3 + 2) * 3 * 16 + 5])
    const depthwise = model.weights.get('stage1.1/mb3k5/depthwise.filter')?.values
    // Row 4, column 1, channel 7 of [5, 5, 24, 1].
    expect(tensors.get('blocks.1.mobile_inverted_conv.depth_conv.conv.weight')?.values[7 * 25 + 4 * 5 + 1]).toBe(
      depthwise?.[(4 * 5 + 1) * 24 + 7],
    )
    const linear = model.weights.get('classifier/conv/linear.weights')?.values
    expect(tensors.get('classifier.linear.weight')?.values[3 * 64 + 40]).toBe(linear?.[40 * 10 + 3])
  })

  test.each([
    [['--format', 'onnx', '--out', 'x'], '--model'],
    [['--model', 'nowhere', '--format', 'onnx', '--out', 'x'], 'nowhere'],
    [['--model', 'model', '--format', 'caffe', '--out', 'x'], 'caffe'],
    [['--model', 'model', '--format', 'json', '--out', 'x', '--no-fold'], '--no-fold is for --format onnx, tfjs, tfjs-graph, not json'],
    [['--model', 'model', '--format', 'json', '--out', 'model/model.json/x'], '/model/model.json/x'],
  ])('refuses %j and says what is wrong', async (args, said) => {
    const result = await gatehouse(['export', ...args])
    expect(result.code).toBe(2)
    expect(result.err).toContain(said)
  })

  test('other commands start without TensorFlow.js and protobufjs', () => {
    const loader = `
      import { registerHooks } from 'node:module'
      registerHooks({ load(url, context, next) { if (/tfjs|protobufjs/.test(url)) throw new Error('loaded ' + url); return next(url, context) } })
    `
    const main = fileURLToPath(new URL('../../gatehouse/main.ts', import.meta.url))
    const args = ['--import', `data:text/javascript,${encodeURIComponent(loader)}`, main, 'export', '--help']
    expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toContain('Usage: gatehouse export')
  })
})

describe('gatehouse import', () => {
  const importFrom = (source: string, ...more: readonly string[]) =>
    gatehouse(
      `import --config ${source}/net.config --weights ${source}/state_dict.safetensors --input 20x24 --out ${source}/back`
        .split(' ')
        .concat(more),
    )

  test('reads back what export wrote: the same network, weights and statistics', async () => {
    await exportTo('proxylessnas', 'round')
    const result = await importFrom('round', '--name', 'round', '--json')
    expect(result).toMatchObject({ code: 0, err: '' })
    expect(JSON.parse(result.out)).toMatchObject({
      architecture: 'round:mb1k3,mb3k5,zero,mb6k3,mb3k7,mb6k5,mb6k7',
      classes: 10,
      ...architectureCosts(model.space, model.path),
    })
    const back = readModelFolder(join(folder, 'round/back'))
    expect(back.description.normalisation.mean).toEqual([0.485, 0.456, 0.406])
    const values = (found: typeof model) => [...found.weights.values()].map((tensor) => [tensor.shape, tensor.values])
    expect(values(back)).toEqual(values(model))
    expect([...back.statistics.values()]).toEqual([...model.statistics.values()])
  })

  test('without weights gives a space that training and searches take', async () => {
    await exportTo('proxylessnas', 'bare')
    const result = await gatehouse([
      'import',
      '--config',
      'bare/net.config',
      '--input',
      '20x24',
      '--name',
      'bare',
      '--out',
      'bare/space.json',
    ])
    expect(result.code).toBe(0)
    const space = createSpace(spaceRefSchema.parse(JSON.parse(readFileSync(join(folder, 'bare/space.json'), 'utf8'))))
    expect(space.input).toEqual([20, 24, 3])
    expect(
      architectureCosts(
        space,
        space.decisions.map(() => 0),
      ),
    ).toEqual(architectureCosts(model.space, model.path))
  })

  test('what was imported is exported again as it came', async () => {
    await exportTo('proxylessnas', 'twice')
    await importFrom('twice')
    await gatehouse(['export', '--model', 'twice/back', '--format', 'proxylessnas', '--out', 'twice/again'])
    const config = (path: string) => readFileSync(join(folder, path, 'net.config'), 'utf8')
    expect(config('twice/again')).toBe(config('twice'))
    const tensors = (path: string) => readSafetensors(readFileSync(join(folder, path, 'state_dict.safetensors'))).tensors
    expect(tensors('twice/again')).toEqual(tensors('twice'))
  })

  /** The state dict of `source` again, its data and header changed, beside its net.config. */
  function changeStateDict(source: string, change: (header: Record<string, Entry>, data: Buffer) => Buffer | void): void {
    const file = join(folder, source, 'state_dict.safetensors')
    const bytes = readFileSync(file)
    const dataStart = 8 + Number(bytes.readBigUInt64LE(0))
    const header = JSON.parse(bytes.subarray(8, dataStart).toString('utf8')) as Record<string, Entry>
    const data = Buffer.from(bytes.subarray(dataStart))
    const changed = change(header, data) ?? data
    const json = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(json.length))
    writeFileSync(file, Buffer.concat([length, json, changed]))
  }
  type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] }
  const entryOf = (header: Record<string, Entry>, name: string) => header[name] as Entry

  test.each([
    ['first_conv.conv.weight', Number.NaN, 'element 2 is NaN, expected a finite number'],
    ['classifier.linear.bias', Number.NEGATIVE_INFINITY, 'element 2 is -Infinity, expected a finite number'],
    ['first_conv.bn.running_mean', Number.POSITIVE_INFINITY, 'element 2 is Infinity, expected a finite number'],
    ['first_conv.bn.running_var', -0.5, 'element 2 is -0.5, expected a variance, 0 or above'],
  ])('refuses a state dict whose %s has %d, and names file and tensor', async (name, value, said) => {
    await exportTo('proxylessnas', `numbers-${name}`)
    changeStateDict(`numbers-${name}`, (header, data) => void data.writeFloatLE(value, entryOf(header, name).data_offsets[0] + 8))
    const result = await importFrom(`numbers-${name}`)
    expect(result).toMatchObject({
      code: 2,
      err: expect.stringContaining(`/numbers-${name}/state_dict.safetensors: tensor ${name}: ${said}`),
    })
    expect(existsSync(join(folder, `numbers-${name}/back`))).toBe(false)
  })

  test.each<[string, (header: Record<string, Entry>, data: Buffer) => Buffer | void, RegExp]>([
    [
      'two tensors in the same bytes',
      (header) => {
        entryOf(header, 'first_conv.bn.weight').data_offsets = entryOf(header, 'first_conv.bn.bias').data_offsets
      },
      /tensor first_conv\.bn\.\w+: expected 64 bytes from \d+ on, got \d+ to \d+/,
    ],
    [
      'bytes between two tensors',
      (header, data) => {
        for (const [name, entry] of Object.entries(header)) {
          if (name !== '__metadata__' && entry.dtype === 'F32')
            entry.data_offsets = [entry.data_offsets[0] + 16, entry.data_offsets[1] + 16]
        }
        const counters = Object.values(header).filter(({ dtype }) => dtype === 'I64').length * 8
        return Buffer.concat([data.subarray(0, counters), Buffer.alloc(16), data.subarray(counters)])
      },
      /expected \d+ bytes from \d+ on, got/,
    ],
    ['bytes behind the last tensor', (_, data) => Buffer.concat([data, Buffer.alloc(4)]), /expected \d+ bytes of data, got \d+/],
    ['metadata that is no text', (header) => void Object.assign(header, { __metadata__: { epochs: 3 } }), /__metadata__ to map strings/],
    [
      'a field that the format does not have',
      (header) => void Object.assign(entryOf(header, 'first_conv.bn.bias'), { scale: 2 }),
      /tensor first_conv\.bn\.bias: expected a dtype, a shape and two data_offsets/,
    ],
    [
      'another type of numbers',
      (header) => void Object.assign(entryOf(header, 'first_conv.bn.bias'), { dtype: 'F16' }),
      /tensor first_conv\.bn\.bias: expected dtype F32 or I64, got F16/,
    ],
  ])('refuses a state dict with %s', async (name, change, said) => {
    const source = `strict-${name.replaceAll(' ', '-')}`
    await exportTo('proxylessnas', source)
    changeStateDict(source, change)
    const result = await importFrom(source)
    expect(result).toMatchObject({ code: 2, err: expect.stringMatching(said) })
    expect(result.err).toContain(`${source}/state_dict.safetensors`)
  })

  test('takes the size of images from the run.config beside net.config, refuses another, and says what it assumes', async () => {
    await exportTo('proxylessnas', 'sized')
    const bare = (...more: string[]) =>
      gatehouse(['import', '--config', 'sized/net.config', '--out', 'sized/space.json', '--json', ...more])
    const inputOf = ({ out }: { out: string }) => (JSON.parse(out) as { input: number[] }).input
    const assumed = await bare()
    expect(inputOf(assumed)).toEqual([224, 224, 3])
    expect(assumed.err).toMatch(/^input +224x224 is assumed, since no run\.config says/)
    writeFileSync(join(folder, 'sized/run.config'), '{ "image_size": 144, "n_epochs": 300 }')
    const stated = await bare()
    expect([inputOf(stated), stated.err]).toEqual([[144, 144, 3], ''])
    expect(inputOf(await bare('--input', '144x144'))).toEqual([144, 144, 3])
    const refused = await bare('--input', '224x224')
    expect(refused).toMatchObject({ code: 2, out: '' })
    expect(refused.err).toContain(`--input says 224x224, ${join(folder, 'sized/run.config')} says 144x144`)
    writeFileSync(join(folder, 'sized/run.config'), '{ "image_size": [128, 160] }')
    expect(await bare()).toMatchObject({ code: 2, err: expect.stringContaining('cannot read the size of images from') })
  })

  test('says which names a state dict has instead, and what stands in front of them', async () => {
    await exportTo('proxylessnas', 'prefixed')
    const rename = (name: string, to: (key: string) => string) => {
      changeStateDict(name, (header) => {
        for (const [key, entry] of Object.entries(header)) {
          if (key === '__metadata__') continue
          delete header[key]
          header[to(key)] = entry
        }
      })
    }
    rename('prefixed', (key) => `module.${key}`)
    expect((await importFrom('prefixed')).err).toContain(
      'got none: all of them are there with "module." in front of their names, as torch.nn.DataParallel writes them: take it off',
    )
    rename('prefixed', (key) => `${key}${'x'.repeat(10_000)}`)
    const { err } = await importFrom('prefixed')
    expect(err).toMatch(/the file has module\.\S+…, module\.\S+…, module\.\S+… and \d+ more\n$/)
    expect(err.length).toBeLessThan(600)
  })

  test('refuses bad flags, other networks and weights that do not fit, and names them', async () => {
    await exportTo('proxylessnas', 'bad')
    expect((await importFrom('bad', '--mean', '0.5')).err).toContain('expected --mean to be 3 numbers separated by commas, got "0.5"')
    expect((await importFrom('bad', '--std', '0,1,1')).err).toContain('--std')
    expect(await gatehouse(['import', '--config', 'bad/net.config', '--out', 'bad/net.config/x'])).toMatchObject({
      code: 2,
      err: expect.stringMatching(/cannot write .*\/bad\/net\.config\/x: /),
    })
    expect((await gatehouse(['import', '--config', 'bad/net.config', '--input', '20', '--out', 'x'])).err).toContain('--input')
    const config = readFileSync(join(folder, 'bad/net.config'), 'utf8')
    mkdirSync(join(folder, 'wider'))
    writeFileSync(join(folder, 'wider/state_dict.safetensors'), readFileSync(join(folder, 'bad/state_dict.safetensors')))
    writeFileSync(join(folder, 'wider/net.config'), config.replace('"out_features": 10', '"out_features": 11'))
    expect((await importFrom('wider')).err).toContain('expected classifier.linear.weight of shape [11,64] among the weights, got [10,64]')
    writeFileSync(join(folder, 'wider/net.config'), config.replace('"relu6"', '"relu"'))
    const refused = await importFrom('wider')
    expect(refused.code).toBe(2)
    expect(refused.err).toContain('first_conv.act_func')
    writeFileSync(join(folder, 'wider/state_dict.safetensors'), 'nonsense of some length')
    writeFileSync(join(folder, 'wider/net.config'), config)
    expect((await importFrom('wider')).err).toContain('expected a safetensors file')
    expect(existsSync(join(folder, 'wider/back'))).toBe(false)
  })
})
