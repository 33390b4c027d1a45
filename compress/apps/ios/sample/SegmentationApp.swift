import PhotosUI
import SwiftUI

@main
struct SegmentationApp: App {
    var body: some Scene {
        WindowGroup { ContentView() }
    }
}

/// Picks a photo and shows it with the classes over it.
struct ContentView: View {
    @State private var picked: PhotosPickerItem?
    @State private var photo: CGImage?
    @State private var overlay: CGImage?
    @State private var shares: [Double] = []
    @State private var opacity = 0.6
    @State private var status = "Pick a photo."

    var body: some View {
        VStack(spacing: 12) {
            ZStack {
                if let photo { Image(decorative: photo, scale: 1).resizable() }
                if let overlay {
                    Image(decorative: overlay, scale: 1).resizable().interpolation(.none).opacity(opacity)
                }
            }
            .aspectRatio(photo.map { CGFloat($0.width) / CGFloat($0.height) } ?? 4 / 3, contentMode: .fit)
            Text(status).font(.footnote)
            Slider(value: $opacity).accessibilityLabel("Overlay")
            List(seen, id: \.self) { index in
                HStack {
                    Circle().fill(colour(classes[index])).frame(width: 14)
                    Text(classes[index].name)
                    Spacer()
                    Text(shares[index], format: .percent.precision(.fractionLength(1)))
                }
            }
            PhotosPicker("Photo", selection: $picked, matching: .images).buttonStyle(.borderedProminent)
        }
        .padding()
        .onChange(of: picked) { Task { await segment() } }
    }

    /// The classes that are seen, the largest first.
    private var seen: [Int] {
        shares.indices.filter { shares[$0] > 0 }.sorted { shares[$0] > shares[$1] }
    }

    private func colour(_ found: SegmentationClass) -> Color {
        Color(red: Double(found.red) / 255, green: Double(found.green) / 255, blue: Double(found.blue) / 255)
    }

    private func segment() async {
        do {
            guard let data = try await picked?.loadTransferable(type: Data.self), let image = upright(data) else {
                status = "This photo cannot be read."
                return
            }
            let segmenter = try Segmenter()
            let begun = Date()
            let found = try segmenter.segment(image)
            photo = image
            overlay = found.overlay
            shares = found.shares
            status = "\(Int(Date().timeIntervalSince(begun) * 1000)) ms"
        } catch {
            status = "The model cannot run: \(error.localizedDescription)"
        }
    }

    /// The picture turned as its orientation says.
    private func upright(_ data: Data) -> CGImage? {
        guard let image = UIImage(data: data) else { return nil }
        let format = UIGraphicsImageRendererFormat()
        format.scale = 1
        return UIGraphicsImageRenderer(size: image.size, format: format)
            .image { _ in image.draw(at: .zero) }.cgImage
    }
}
