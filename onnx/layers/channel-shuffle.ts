import { ints } from '../writer.ts'
import { inputNames, type OnnxRule } from './rule.ts'

/** The channels as a matrix of groups, transposed. */
const channelShuffle: OnnxRule<'channelShuffle'> = {
  write(step, writer) {
    const { id, layer, shape } = step
    const [height, width, channels] = shape
    const { groups } = layer
    const runs = writer.int64s(`${id}/runs_shape`, [-1, groups, channels / groups, height, width])
    const split = writer.node('Reshape', `${id}/runs`, [...inputNames(step, writer), runs], `${id}/runs`)
    const turned = writer.node('Transpose', `${id}/turned`, [split], `${id}/turned`, [ints('perm', [0, 2, 1, 3, 4])])
    const image = writer.int64s(`${id}/image_shape`, [-1, channels, height, width])
    writer.node('Reshape', id, [turned, image], writer.tensor(id))
  },
}

export { channelShuffle }
