using TorchSharp;

var x = torch.rand(512, 512);
Console.WriteLine(x.matmul(x).sum().item<float>());
