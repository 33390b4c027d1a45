import CoreGraphics
import CoreML
import Foundation
import Vision

/// Runs the Core ML model by Vision and colours its class map.
final class Segmenter {
    private let request: VNCoreMLRequest

    /// Loads `model.mlmodelc`, which Xcode compiles from model.mlpackage in the app's bundle.
    init() throws {
        guard let url = Bundle.main.url(forResource: "model", withExtension: "mlmodelc") else {
            throw CocoaError(.fileNoSuchFile)
        }
        let model = try MLModel(contentsOf: url, configuration: MLModelConfiguration())
        request = VNCoreMLRequest(model: try VNCoreMLModel(for: model))
        request.imageCropAndScaleOption = .scaleFill  // as in training: the whole picture, stretched
    }

    /// The class map of an upright picture as a coloured picture, and the share of each class.
    func segment(_ image: CGImage) throws -> (overlay: CGImage?, shares: [Double]) {
        try VNImageRequestHandler(cgImage: image).perform([request])
        guard let found = request.results?.first as? VNCoreMLFeatureValueObservation,
              let map = found.featureValue.multiArrayValue else {
            return (nil, [])
        }
        let height = map.shape[map.shape.count - 2].intValue
        let width = map.shape[map.shape.count - 1].intValue
        var pixels = [UInt8](repeating: 255, count: height * width * 4)
        var counts = [Int](repeating: 0, count: classes.count)
        map.withUnsafeBufferPointer(ofType: Int32.self) { indices in
            for (place, index) in indices.enumerated() {
                let found = classes[Int(index)]
                counts[Int(index)] += 1
                pixels[4 * place] = found.red
                pixels[4 * place + 1] = found.green
                pixels[4 * place + 2] = found.blue
            }
        }
        let total = Double(height * width)
        return (picture(pixels, width: width, height: height), counts.map { Double($0) / total })
    }

    private func picture(_ pixels: [UInt8], width: Int, height: Int) -> CGImage? {
        guard let provider = CGDataProvider(data: Data(pixels) as CFData) else { return nil }
        return CGImage(
            width: width, height: height, bitsPerComponent: 8, bitsPerPixel: 32, bytesPerRow: 4 * width,
            space: CGColorSpaceCreateDeviceRGB(),
            bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.noneSkipLast.rawValue),
            provider: provider, decode: nil, shouldInterpolate: false, intent: .defaultIntent)
    }
}
