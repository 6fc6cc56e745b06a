import { describe, expect, it } from 'vitest'
import {
  architectureCosts,
  createRandom,
  createSpace,
  createWeightUse,
  elementCount,
  isAdditive,
  type PrimitiveLayer,
  parseArchitecture,
  printArchitecture,
  randomPath,
  seedState,
  SpaceError,
  weightKeys,
  weightOwners,
} from '../../search-space/index.ts'
import { fromTreeNetConfig, toTreeNetConfig } from '../../search-space/families/pyramid-tree/net-config.ts'

const space = createSpace('proxyless-cifar')
const mini = createSpace({ preset: 'tree-mini', name: 'tree-mini', stages: 2, blocks: 2 })
const TREE = '((dw3(id,max3),avg3(dw5,dw5)),(id(dil3,id),dw7(avg3,max3)))'

/** The layers whose ids begin so, of the network in which all trees are alike. */
const layersOf = (prefix: string, tree = TREE) => {
  const text = `proxyless-cifar:${Array.from({ length: 54 }, () => tree).join(';')}`
  return space.network(parseArchitecture(space, text)).layers.filter(({ id }) => id.startsWith(prefix)) as PrimitiveLayer[]
}

describe('the preset proxyless-cifar', () => {
  it('has twelve edges of seven operations in each of 54 trees', () => {
    expect(space.decisions).toHaveLength(648)
    expect(new Set(space.decisions.map(({ options }) => options.map(({ name }) => name).join()))).toEqual(
      new Set(['id,dw3,dw5,dw7,dil3,avg3,max3']),
    )
    expect(space.decisions.slice(0, 7).map(({ name, where }) => [name, where])).toEqual([
      ['block1/edge0.0', '32x32x18'],
      ['block1/edge0.0.0', '32x32x18'],
      ['block1/edge0.0.1', '32x32x18'],
      ['block1/edge0.1', '32x32x18'],
      ['block1/edge0.1.0', '32x32x18'],
      ['block1/edge0.1.1', '32x32x18'],
      ['block1/edge1.0', '32x32x18'],
    ])
    expect(space.decisions.at(-1)).toMatchObject({ name: 'block54/edge1.1.1', where: '8x8x100' })
    expect(isAdditive(space)).toBe(true)
  })

  it('has the bottlenecks of the published network', () => {
    const widths = space.terms[0]?.parts[0]?.flatMap(({ latencyKey }) => /-width:(\d+)/.exec(latencyKey ?? '')?.[1] ?? []).map(Number)
    expect(widths?.slice(0, 20)).toEqual([18, 18, 20, 22, 24, 24, 26, 28, 30, 32, 32, 34, 36, 38, 38, 40, 42, 44, 46, 46])
    expect(widths?.slice(-3)).toEqual([96, 98, 100])
  })

  it('orders the layers of a block as its authors do', () => {
    const kinds = (prefix: string) => layersOf(prefix).map(({ id, kind }) => [id.slice(prefix.length), kind].join(' '))
    expect(kinds('block1/').filter((line) => !line.startsWith('edge'))).toEqual([
      'in.norm batchNorm',
      'in conv2d',
      'root.norm batchNorm',
      'root.relu activation',
      'root conv2d',
      'shuffle channelShuffle',
      'tree.part0 channelRange',
      'tree.0.0.merged add',
      'tree.0.1.merged add',
      'tree.0.merged add',
      'tree.branch0.norm batchNorm',
      'tree.branch0 add',
      'tree.part1 channelRange',
      'tree.1.0.merged add',
      'tree.1.1.merged add',
      'tree.1.merged add',
      'tree.branch1.norm batchNorm',
      'tree.branch1 add',
      'tree.merged add',
      'out.norm batchNorm',
      'out.relu activation',
      'out conv2d',
      'last.norm batchNorm',
      'shortcut.padded channelRange',
      'sum add',
    ])
    expect(kinds('block1/edge0.0/')).toEqual([
      'dw3/norm.norm batchNorm',
      'dw3/norm.relu activation',
      'dw3/depthwise depthwiseConv2d',
      'dw3/pointwise conv2d',
    ])
    expect(layersOf('block1/root').at(-1)).toMatchObject({ groups: 2, kernel: 3, stride: 1, shape: [32, 32, 36] })
    expect(layersOf('block1/tree.part1')).toMatchObject([{ first: 18, shape: [32, 32, 18] }])
    // The second branch: its edge, a residual of what is below it, which begins with that edge.
    expect(layersOf('block1/tree.branch1')).toMatchObject([
      { input: 'block1/tree.1.merged' },
      { inputs: ['block1/tree.branch1.norm', 'block1/tree.part1'] },
    ])
    expect(layersOf('block1/edge1.0.0/dil3/depthwise')).toMatchObject([{ input: 'block1/edge1.0.0/dil3/norm.relu', dilation: 2 }])
    expect(layersOf('block1/tree.1.0.merged')).toMatchObject([{ inputs: ['block1/edge1.0.0/dil3/pointwise', 'block1/tree.part1'] }])
    // Halves the image in the 3×3 convolution, and pools its input.
    expect(layersOf('block19/root').at(-1)).toMatchObject({ stride: 2, shape: [16, 16, 92] })
    expect(layersOf('block19/shortcut')).toMatchObject([
      { kind: 'pool', mode: 'average', kernel: 2, stride: 2, padding: 0, shape: [16, 16, 176] },
      { kind: 'channelRange', first: 0, shape: [16, 16, 184] },
    ])
  })

  it('counts what a block and an edge cost', () => {
    const [, first] = space.terms[0]?.parts[0] ?? []
    // Batch-norms of 16, 18, twice 18, 18 and 72 channels; 1×1 from 16, 3×3 in 2 groups, 1×1 to 72.
    expect(first).toMatchObject({ parameters: 2 * (16 + 18 + 36 + 18 + 72) + 16 * 18 + 9 * 9 * 36 + 18 * 72 })
    expect(first).toMatchObject({ macs: 32 * 32 * (16 * 18 + 9 * 9 * 36 + 18 * 72) })
    const edge = space.terms[1]?.parts.map(([part]) => [part?.macs, part?.parameters, part?.latencyKey])
    const depthwise = (kernel: number) => 18 * kernel ** 2 + 18 * 18
    const key = (type: string, kernel: number) => `${type}-input:32x32x18-output:32x32x18-kernel:${kernel}-stride:1`
    expect(edge).toEqual([
      [0, 0, null],
      ...[3, 5, 7].map((kernel) => [1024 * depthwise(kernel), depthwise(kernel) + 36, key('NormSepConv', kernel)]),
      [1024 * depthwise(3), depthwise(3) + 36, key('NormDilConv', 3)],
      [0, 0, key('AvgPool', 3)],
      [0, 0, key('MaxPool', 3)],
    ])
  })

  it('writes and reads architectures', () => {
    const random = createRandom(seedState('trees', 1))
    for (let i = 0; i < 20; i++) {
      const path = randomPath(space, random)
      expect(parseArchitecture(space, printArchitecture(space, path))).toEqual(path)
    }
    const path = parseArchitecture(mini, `tree-mini:${[TREE, TREE, TREE, TREE].join(';')}`)
    expect(path.slice(0, 12)).toEqual([1, 0, 6, 5, 2, 2, 0, 4, 0, 3, 5, 6])
    expect(printArchitecture(mini, path)).toBe(`tree-mini:${[TREE, TREE, TREE, TREE].join(';')}`)
  })

  it.each([
    [TREE, 'expected 4 trees of the form ((id(id,id),id(id,id)),(id(id,id),id(id,id))) with ; between them'],
    [[TREE, TREE, TREE, TREE.replace('dil3', 'dil5')].join(';'), 'for block4/edge1.0.0, got "dil5" (architecture[43])'],
    [[TREE, TREE, TREE, TREE.replace('(id,max3)', '(id,(max3))')].join(';'), 'expected 4 trees of the form'],
  ])('says what is wrong with %s', (text, message) => {
    expect(() => parseArchitecture(mini, `tree-mini:${text}`)).toThrow(message)
    expect(() => parseArchitecture(mini, `tree-mini:${text}`)).toThrow(SpaceError)
  })

  it('counts the parameters of the weights that a network reads, and gives those of an option to its decision', () => {
    const path = randomPath(mini, createRandom(seedState('trees', 2)))
    const keys = new Set(weightKeys(mini.network(path)))
    const read = mini.weightSpecs.filter(({ key }) => keys.has(key))
    expect(read).toHaveLength(keys.size)
    expect(read.reduce((sum, { shape }) => sum + elementCount(shape), 0)).toBe(architectureCosts(mini, path).parameters)
    const owners = weightOwners(mini)
    expect(owners.get('block2/edge0.1/dw7/depthwise.filter')).toEqual({ block: 15, operation: 3 })
    expect(owners.has('block2/root.filter')).toBe(false)
    expect(owners.has('block2/tree.branch0.gamma')).toBe(false)
  })

  it('says whose weights are, and who may read which, as its networks do', () => {
    const { optionWeights: _, ...asked } = createSpace({
      preset: 'tree-mini',
      stages: 2,
      blocks: 1,
      operations: ['dw3', 'id', 'max3', 'dil3'],
    })
    const told = createSpace({ preset: 'tree-mini', stages: 2, blocks: 1, operations: ['dw3', 'id', 'max3', 'dil3'] })
    expect(told.optionWeights?.(0, 1)).toEqual([])
    expect([...weightOwners(told)].toSorted()).toEqual([...weightOwners(asked)].toSorted())
    const used = told.decisions.map((__, index) => [[0, 3], [1], [2, 3], [1, 2]][index % 4] ?? [])
    expect([...createWeightUse(told)(used)].toSorted()).toEqual([...createWeightUse(asked)(used)].toSorted())
  })

  it('has an entry for every key that its parts name, each once', () => {
    const keys = mini.measurableOperations().map(({ latencyKey }) => latencyKey)
    const named = new Set(mini.terms.flatMap(({ parts }) => parts.flat()).flatMap(({ latencyKey }) => latencyKey ?? []))
    expect(new Set(keys)).toEqual(named)
    expect(keys).toHaveLength(named.size)
  })
})

describe('trees with other levels', () => {
  const level = { allocation: 'replicate', merge: 'add', edges: 'chosen', residual: false } as const
  const widthsOf = (levels: readonly object[]) => {
    const own = createSpace({ preset: 'tree-mini', stages: 2, addedWidth: 24, blocks: 1, levels } as never)
    const { layers } = own.network(own.decisions.map(() => 0))
    const shapeOf = (id: string) => layers.find((layer) => layer.id === id)?.shape[2]
    return {
      root: shapeOf('block1/root'),
      merged: shapeOf('block1/tree.merged'),
      edge: own.decisions[0]?.where,
      count: own.decisions.length,
    }
  }

  it('end with the channels of the bottleneck, whatever they split and join', () => {
    expect(widthsOf([level])).toEqual({ root: 20, merged: 20, edge: '28x28x20', count: 4 })
    expect(widthsOf([{ ...level, allocation: 'split' }])).toEqual({ root: 40, merged: 20, edge: '28x28x20', count: 4 })
    expect(widthsOf([{ ...level, allocation: 'split', merge: 'concat' }])).toEqual({ root: 20, merged: 20, edge: '28x28x10', count: 4 })
    expect(widthsOf([{ ...level, merge: 'concat' }])).toEqual({ root: 10, merged: 20, edge: '28x28x10', count: 4 })
    expect(widthsOf([level, { ...level, allocation: 'split', merge: 'concat' }])).toEqual({
      root: 20,
      merged: 20,
      edge: '28x28x20',
      count: 12,
    })
  })

  it.each([
    [{ operations: ['id', 'id'] }, 'expected different operations, got id, id'],
    [{ input: [29, 28, 1] }, 'expected sides that can be halved 1 times, got 29×28×1'],
    [{ levels: [{ ...level, edges: 'identity' }] }, 'expected a level whose edges are chosen'],
    [{ levels: [{ ...level, residual: true }] }, 'expected false at the last level, which has none below it (space.levels[0].residual)'],
    [
      {
        levels: [
          { ...level, residual: true },
          { ...level, merge: 'concat' },
        ],
      },
      'expected levels below that keep the number of channels, got 2 times as many',
    ],
    [
      { groups: 1, width: 5, addedWidth: 0, levels: [{ ...level, allocation: 'split', merge: 'concat' }] },
      'cannot halve the 5 channels of block1',
    ],
    [{ groups: 3, levels: [{ ...level, merge: 'concat' }] }, 'expected groups that divide the 9 and 4.5 channels of block1, got 3'],
    [{ bottleneck: 1, addedWidth: 0, width: 9 }, 'expected blocks that widen, got block1 from 9 to 8 channels'],
    [{ blocks: 60 }, 'expected at most 1024 edges over all blocks, got 1440'],
  ] as const)('refuses settings that contradict each other: %j', (changes, message) => {
    expect(() => createSpace({ preset: 'tree-mini', stages: 2, blocks: 2, ...changes } as never)).toThrow(message)
    expect(() => createSpace({ preset: 'tree-mini', stages: 2, blocks: 2, ...changes } as never)).toThrow(SpaceError)
  })
})

describe('the published form', () => {
  const config = createConfig()
  const own = createSpace(config)
  const path = randomPath(own, createRandom(seedState('trees', 3)))
  const text = JSON.stringify(toTreeNetConfig(config, path))
  type Changed = {
    blocks: { cell: { child_nodes: { edges: Record<string, unknown>[]; merge_type: string }[] }; [field: string]: unknown }[]
  }
  const changed = (change: (document: Changed) => void) => {
    const document = JSON.parse(text) as Changed
    change(document)
    return document
  }

  it('is read back as the same architecture', () => {
    const read = fromTreeNetConfig(JSON.parse(text), config.name)
    expect(read).toEqual({ config, path })
    expect(JSON.stringify(toTreeNetConfig(read.config, read.path))).toBe(text)
  })

  it('has the fields of its authors', () => {
    const { blocks, classifier } = JSON.parse(text) as { blocks: Record<string, unknown>[]; classifier: unknown }
    expect(blocks[0]).toEqual({
      name: 'TransitionBlock',
      layers: [
        {
          name: 'ConvLayer',
          kernel_size: 3,
          stride: 1,
          dilation: 1,
          groups: 1,
          bias: false,
          has_shuffle: false,
          in_channels: 3,
          out_channels: 8,
          use_bn: false,
          act_func: null,
          dropout_rate: 0,
          ops_order: 'bn_act_weight',
        },
        {
          name: 'IdentityLayer',
          in_channels: 8,
          out_channels: 8,
          use_bn: true,
          act_func: null,
          dropout_rate: 0,
          ops_order: 'bn_act_weight',
        },
      ],
    })
    expect(blocks.at(-1)).toMatchObject({
      layers: [{ name: 'PoolingLayer', pool_type: 'avg', kernel_size: 8, stride: 8, act_func: 'relu' }],
    })
    expect(blocks[2]).toMatchObject({ shortcut: { name: 'PoolingLayer', pool_type: 'avg', kernel_size: 2, stride: 2 } })
    expect(classifier).toMatchObject({ in_features: 40, out_features: 10, bias: true })
  })

  it.each([
    [(document: Changed) => void (document.blocks[1]!.cell_drop_rate = 0.1), 'expected 0, got 0.1 (blocks[1].cell_drop_rate)'],
    [(document: Changed) => void (document.blocks[2]!.final_bn = false), 'expected true, got false (blocks[2].final_bn)'],
    [
      (document: Changed) => void (document.blocks[2]!.cell.child_nodes[0]!.merge_type = 'concat'),
      'expected "add", got "concat" (blocks[2].cell.child_nodes[0].merge_type)',
    ],
    [
      (document: Changed) => void (document.blocks[1]!.cell.child_nodes[0]!.edges[1]!.act_func = 'relu'),
      'expected one of id, dw3, dw5, dw7, dil3, avg3, max3 in the order bn_act_weight, got IdentityLayer with other settings (blocks[1].cell.child_nodes[0].edges[1])',
    ],
    [(document: Changed) => void document.blocks.splice(1, 1), 'expected bottlenecks that widen by equal steps from 8 channels, got 20'],
    [(document: Changed) => void document.blocks.pop(), 'expected a TransitionBlock, ResidualTreeBlocks and a TransitionBlock (blocks)'],
  ])('is refused where it is no network of ours', (change, message) => {
    expect(() => fromTreeNetConfig(changed(change), 'other')).toThrow(message)
    expect(() => fromTreeNetConfig(changed(change), 'other')).toThrow(SpaceError)
  })
})

/** Two blocks, of 14 and 20 channels in their bottlenecks. */
function createConfig() {
  const chosen = { allocation: 'replicate', merge: 'add', edges: 'chosen', residual: false } as const
  return {
    ...({ family: 'pyramid-tree', name: 'published', classes: 10, width: 8, addedWidth: 12, stages: 2, blocks: 1 } as const),
    ...({ bottleneck: 2, groups: 2, batchNormEpsilon: 1e-5 } as const),
    input: [16, 16, 3] as [number, number, number],
    levels: [{ allocation: 'split', merge: 'add', edges: 'identity', residual: true } as const, chosen, chosen],
    operations: ['id', 'dw3', 'dw5', 'dw7', 'dil3', 'avg3', 'max3'] as ('id' | 'dw3' | 'dw5' | 'dw7' | 'dil3' | 'avg3' | 'max3')[],
  }
}
