// What the authors' classes call the weights of a network of trees (cifar_modules.py of github.com/mit-han-lab/proxylessnas):
//
//   blocks.0.layers.{0.conv,1.bn}   blocks.N.{in_bottle,out_bottle}.{bn,conv}   blocks.N.final_bn   blocks.N.cell.edges.0.{bn,conv}
//   blocks.N.cell.child_nodes.0[.child_nodes.I]….{branch_bns.I, edges.I.{bn,depth_conv,point_conv}}   blocks.L.layers.0.bn   classifier.linear

import type { LayerKind } from '../../layers/index.ts'
import type { Path } from '../../space.ts'
import type { PyramidTreeConfig, TreeLevel } from './config.ts'
import { BRANCHES, planTrees } from './plan.ts'

/** A layer with weights, under what our keys begin with, and what theirs do. */
type StateName = { readonly kind: LayerKind; readonly ours: string; readonly theirs: string }

const hasConvolution = (operation: string) => operation.startsWith('d')

/** `next` gives the operations of the chosen edges, in their order. */
function nodeNames(levels: readonly TreeLevel[], block: string, node: string, path: readonly number[], next: () => string): StateName[] {
  const [level, ...below] = levels
  if (!level) return []
  return Array.from({ length: BRANCHES }, (_, branch): StateName[] => {
    const own = [...path, branch]
    const operation = level.edges === 'chosen' ? next() : 'id'
    const ours = `${block}/edge${own.join('.')}/${operation}`
    const edge = `${node}.edges.${branch}`
    const inner = nodeNames(below, block, `${node}.child_nodes.${branch}`, own, next)
    return [
      ...(hasConvolution(operation)
        ? ([
            { kind: 'batchNorm', ours: `${ours}/norm`, theirs: `${edge}.bn` },
            { kind: 'depthwiseConv2d', ours: `${ours}/depthwise`, theirs: `${edge}.depth_conv` },
            { kind: 'conv2d', ours: `${ours}/pointwise`, theirs: `${edge}.point_conv` },
          ] as const)
        : []),
      ...inner,
      ...(level.residual
        ? [
            {
              kind: 'batchNorm',
              ours: `${block}/${['tree', ...path].join('.')}.branch${branch}`,
              theirs: `${node}.branch_bns.${branch}`,
            } as const,
          ]
        : []),
    ]
  }).flat()
}

/** The layers of an architecture that have weights. */
function treeStateNames(config: PyramidTreeConfig, path: Path): StateName[] {
  const { blocks } = planTrees(config)
  const options = path.values()
  const next = () => config.operations[options.next().value ?? -1] ?? 'id'
  const normConv = (ours: string, theirs: string): StateName[] => [
    { kind: 'batchNorm', ours, theirs: `${theirs}.bn` },
    { kind: 'conv2d', ours, theirs: `${theirs}.conv` },
  ]
  return [
    { kind: 'conv2d', ours: 'stem/conv', theirs: 'blocks.0.layers.0.conv' },
    { kind: 'batchNorm', ours: 'stem/conv', theirs: 'blocks.0.layers.1.bn' },
    ...blocks.flatMap(({ name }, index): StateName[] => {
      const theirs = `blocks.${index + 1}`
      return [
        ...normConv(`${name}/in`, `${theirs}.in_bottle`),
        ...normConv(`${name}/root`, `${theirs}.cell.edges.0`),
        ...nodeNames(config.levels, name, `${theirs}.cell.child_nodes.0`, [], next),
        ...normConv(`${name}/out`, `${theirs}.out_bottle`),
        { kind: 'batchNorm', ours: `${name}/last`, theirs: `${theirs}.final_bn` },
      ]
    }),
    { kind: 'batchNorm', ours: 'head/last', theirs: `blocks.${blocks.length + 1}.layers.0.bn` },
    { kind: 'linear', ours: 'head/linear', theirs: 'classifier.linear' },
  ]
}

export { type StateName, treeStateNames }
