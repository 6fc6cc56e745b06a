// Networks in the forms that their authors publish them in, whatever family they are of.

import { fixArchitecture, onlyPath } from './families/fixed/fix-architecture.ts'
import { fromNetConfig, type NetConfig, toNetConfig } from './families/mbconv/net-config.ts'
import { fromTreeNetConfig, TREE_NET, type TreeNetConfig, toTreeNetConfig } from './families/pyramid-tree/net-config.ts'
import type { FixedNetwork } from './families/fixed/config.ts'
import type { PyramidTreeConfig } from './families/pyramid-tree/config.ts'
import type { Path } from './space.ts'
import { resolveSpaceConfig, type SpaceRef } from './space-ref.ts'

type PublishedNetwork = {
  /** A network of MBConvs, or the space that a network of trees is of. */
  readonly config: FixedNetwork | PyramidTreeConfig
  readonly path: Path
}

/** Whether a document says the size of its images itself. */
function isTreeNet(document: unknown): boolean {
  return typeof document === 'object' && document !== null && 'name' in document && document.name === TREE_NET
}

/**
 * An architecture as the `net.config` of ProxylessNAS's authors. Throws SpaceError `config` for one that they have no form for, `choices` if the path
 * is not of this space.
 */
function publishNetwork(ref: SpaceRef, path: Path): NetConfig | TreeNetConfig {
  const config = resolveSpaceConfig(ref)
  if ('family' in config && config.family === 'pyramid-tree') return toTreeNetConfig(config, path)
  return toNetConfig(fixArchitecture(config, path).network)
}

/**
 * Reads a `net.config`. `height` and `width` are those of its images, where the form does not hold them: those of a network of trees follow from
 * its last pooling.
 *
 * Throws ZodError for a document that is none or asks for layers that ours do not have, SpaceError `config` where its layers do not fit together.
 */
function readPublished(
  document: unknown,
  name: string,
  sizeOf: () => { readonly height: number; readonly width: number },
): PublishedNetwork {
  if (isTreeNet(document)) return fromTreeNetConfig(document, name)
  const network = fromNetConfig(document, { name, ...sizeOf() })
  return { config: network, path: onlyPath(network) }
}

export { isTreeNet, type PublishedNetwork, publishNetwork, readPublished }
