using System.Reflection;
using Perenos.Testing;
using Xunit;

namespace Perenos.Tests;

/// <summary>The public surface is a committed text: whatever changes it is seen in review.</summary>
public sealed class PublicApiTests
{
    [Theory]
    [InlineData("Perenos.Runs")]
    [InlineData("Perenos.Text")]
    [InlineData("Perenos")]
    public void The_public_surface_is_as_committed(string assembly)
    {
        string surface = PublicApi.Of(Assembly.Load(assembly));
        Assert.NotEmpty(surface);
        Golden.Equal($"tests/Perenos.Tests/PublicApi/{assembly}.txt", surface);
    }
}
